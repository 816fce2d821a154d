"""Bench of the loop: from what a person did to the first answer that it helped to make."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from bench_table import Line

DEMO = "the demo: tiny policy on a CPU"
EARLIER = "an earlier run of the demo"
PARTS = {
    "waiting_for_batch": "until its batch was sealed (mean)",
    "learning": "until the version was durable (mean)",
    "gate_and_first_answer": "until gate, flag and first answer (mean)",
}


def bench_loop(
    *, report: Path | None, seconds: float, seed: int, say: Callable[[str], None]
) -> list[Line]:
    """Read a demo's report, or run the demo for one; return the lines.

    Raises RuntimeError where the demo fails or promoted nothing.
    """
    if report is not None:
        return loop_lines(orjson.loads(report.read_bytes()), EARLIER)
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        made = Path(place) / "report.json"
        say(f"loop: running the demo for {seconds:.0f} s")
        command = [sys.executable, "-m", "rlwd.daemon", "demo", "--seed", str(seed)]
        options = ["--seconds", str(seconds), "--folder", f"{place}/demo", "--report", str(made)]
        ran = subprocess.run(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "120"},
            check=False,
        )
        if ran.returncode != 0:
            raise RuntimeError(f"the demo ended with {ran.returncode}:\n{ran.stdout[-2000:]!r}")
        return loop_lines(orjson.loads(made.read_bytes()))


def loop_lines(report: dict[str, Any], demo: str = DEMO) -> list[Line]:
    """Return the lines for a demo's report; raises RuntimeError where no version was served."""
    served = report["event_to_served_s"]
    if served["p50"] is None:
        raise RuntimeError("the demo served no version that had learned: give it more seconds")
    lines = [
        _line("event to served weights: p50", served["p50"], demo, goal=10.0),
        _line("event to served weights: p95", served["p95"], demo),
    ]
    # Parts that this table has no words for yet are shown by their own names.
    return lines + [
        _line(PARTS.get(name, name), value, demo) for name, value in served["parts"].items()
    ]


def _line(what: str, value: float, demo: str, goal: float | None = None) -> Line:
    return Line(
        part="loop",
        what=what,
        unit="s",
        against=demo,
        ours=(value,),
        compare="alone",
        goal=goal,
        at_least=False,
    )
