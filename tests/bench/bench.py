"""Bench: `python -m bench`, or `make bench`. Ratios side by side in one run.

Absolute numbers are this machine's; what is compared with is measured in turns with ours, so the
ratios carry over. No test asserts any of it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
from bench_behaviours import bench_behaviours
from bench_close import bench_close
from bench_gateway import bench_gateway
from bench_ingest import bench_ingest
from bench_loop import bench_loop
from bench_members import bench_members
from bench_pages import bench_pages
from bench_profile import bench_profile
from bench_redaction import bench_redaction
from bench_rewards import bench_rewards
from bench_sessions import bench_sessions
from bench_swaps import bench_swaps
from bench_table import (
    Line,
    machine,
    markdown_table,
    put_between_markers,
    terminal_table,
)
from bench_workers import bench_workers
from bench_yield import bench_yield
from rich.console import Console

PARTS = (
    "ingest",
    "members",
    "close",
    "session",
    "redaction",
    "behaviours",
    "rewards",
    "profile",
    "pages",
    "gateway",
    "workers",
    "swap",
    "yield",
    "loop",
)
WIDTH = 170


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print the table, and write it where asked."""
    given = _parser().parse_args(arguments)
    parts = given.only.split(",")
    for part in parts:
        if part not in PARTS:
            raise SystemExit(f"--only: {part!r} is none of {', '.join(PARTS)}")
    console = Console(stderr=True)
    where = machine()
    lines: list[Line] = []
    if "ingest" in parts:
        lines += bench_ingest(
            records=given.records,
            rounds=given.rounds,
            already_open=(
                *(10_000, 100_000),
                *((1_000_000,) if given.large else ()),
                *given.open,
            ),
            say=console.log,
        )
    if "members" in parts:
        lines += bench_members(records=given.records, rounds=given.rounds, say=console.log)
    if "close" in parts:
        lines += bench_close(rounds=given.rounds, say=console.log)
    if "session" in parts:
        lines += bench_sessions(rounds=given.rounds, say=console.log)
    if "behaviours" in parts:
        lines += bench_behaviours(rounds=given.rounds, say=console.log)
    if "redaction" in parts:
        lines += bench_redaction(rounds=given.rounds, say=console.log)
    if "rewards" in parts:
        lines += bench_rewards(rounds=given.rounds, say=console.log)
    if "profile" in parts:
        lines += bench_profile(rounds=given.rounds, say=console.log)
    if "pages" in parts:
        lines += bench_pages(rounds=given.rounds, say=console.log)
    if "gateway" in parts:
        lines += bench_gateway(rounds=given.rounds, say=console.log)
    if "workers" in parts:
        lines += bench_workers(rounds=given.rounds, say=console.log)
    if "swap" in parts:
        lines += bench_swaps(swaps=given.swaps, rounds=given.rounds, say=console.log)
    if "yield" in parts:
        lines += bench_yield(rounds=given.rounds, say=console.log)
    if "loop" in parts:
        lines += bench_loop(
            report=given.demo_report, seconds=given.demo_seconds, seed=given.seed, say=console.log
        )
    # A table in a file or a pipe is not cut to the 80 columns that rich assumes there.
    out = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    out.print(terminal_table(lines, where))
    if given.json:
        document = {"machine": where, "lines": [line.document() for line in lines]}
        given.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if given.page:
        put_between_markers(given.page, markdown_table(lines, where))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure rlwd side by side."
    )
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts")
    parser.add_argument("--page", type=Path, help="write the table between its bench markers")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, taken in turns")
    parser.add_argument("--records", type=int, default=30_000, help="records to ingest")
    parser.add_argument("--large", action="store_true", help="also with a million open generations")
    parser.add_argument(
        "--open",
        type=int,
        action="append",
        default=[],
        help="also with so many open generations; from 10,000,000 on without their content",
    )
    parser.add_argument("--swaps", type=int, default=120, help="swaps under load, in all rounds")
    parser.add_argument("--demo-report", type=Path, help="read this demo's report, run none")
    parser.add_argument("--demo-seconds", type=float, default=90.0, help="longest for the crowd")
    parser.add_argument("--seed", type=int, default=0, help="of the demo")
    return parser


if __name__ == "__main__":
    main()
