"""Bench: `python -m bench`, or `make bench`. Ratios side by side in one run.

Absolute numbers are this machine's; what is compared with is measured in turns with ours, so the
ratios carry over. No test asserts any of it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench_behaviours import bench_behaviours
from bench_close import bench_close
from bench_gateway import bench_gateway
from bench_ingest import bench_ingest
from bench_loop import bench_loop
from bench_measured import Measured, alone_with, markdown_table, read_measured, write_measured
from bench_members import bench_members
from bench_pages import bench_pages
from bench_profile import bench_profile
from bench_redaction import bench_redaction
from bench_rewards import bench_rewards
from bench_sessions import bench_sessions
from bench_swaps import bench_swaps
from bench_table import Line, machine, parts_on, put_between_markers, terminal_table
from bench_workers import bench_workers
from bench_yield import bench_yield
from rich.console import Console

WIDTH = 170
Say = Callable[[str], None]
Part = Callable[[argparse.Namespace, Say], Sequence[Line]]
PARTS: dict[str, Part] = {
    "ingest": lambda given, say: bench_ingest(
        records=given.records, rounds=given.rounds, already_open=_already_open(given), say=say
    ),
    "members": lambda given, say: bench_members(
        records=given.records, rounds=given.rounds, say=say
    ),
    "close": lambda given, say: bench_close(rounds=given.rounds, say=say),
    "session": lambda given, say: bench_sessions(rounds=given.rounds, say=say),
    "redaction": lambda given, say: bench_redaction(rounds=given.rounds, say=say),
    "behaviours": lambda given, say: bench_behaviours(rounds=given.rounds, say=say),
    "rewards": lambda given, say: bench_rewards(rounds=given.rounds, say=say),
    "profile": lambda given, say: bench_profile(rounds=given.rounds, say=say),
    "pages": lambda given, say: bench_pages(rounds=given.rounds, say=say),
    "gateway": lambda given, say: bench_gateway(rounds=given.rounds, say=say),
    "workers": lambda given, say: bench_workers(rounds=given.rounds, say=say),
    "swap": lambda given, say: bench_swaps(swaps=given.swaps, rounds=given.rounds, say=say),
    "yield": lambda given, say: bench_yield(rounds=given.rounds, say=say),
    "loop": lambda given, say: bench_loop(
        report=given.demo_report, seconds=given.demo_seconds, seed=given.seed, say=say
    ),
}
"""In the order of the table."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, part by part; print the table, and write it where asked."""
    parser = _parser()
    given = parser.parse_args(arguments)
    wanted = given.only.split(",")
    for part in wanted:
        if part not in PARTS:
            raise SystemExit(f"--only: {part!r} is none of {', '.join(PARTS)}")
    if given.page and not given.json:
        parser.error("--page: needs --json, the file with what was measured before")
    _check_places(given, wanted)
    console = Console(stderr=True)
    where = machine() + _told_options(parser, given)
    lines: list[Line] = []
    # A table in a file or a pipe is not cut to the 80 columns that rich assumes there.
    out = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    try:
        for part in (one for one in PARTS if one in wanted):
            new = PARTS[part](given, console.log)
            place = f"an earlier run's {given.demo_report.name}" if _is_read(part, given) else where
            for line in new:
                line.cells()  # What cannot be shown is no reason to show none of the others.
            lines += new
            _keep({part: Measured(machine=place, lines=tuple(new))}, given, console.log)
    finally:
        if lines:
            out.print(terminal_table(lines, where))


def _check_places(given: argparse.Namespace, wanted: Sequence[str]) -> None:
    """Raise what would be raised once the first part is measured, which may be an hour later."""
    if not given.json:
        return
    with alone_with(given.json):
        kept = read_measured(given.json)
        write_measured(given.json, kept)
    if given.page:
        lost = (parts_on(given.page) & PARTS.keys()) - kept.keys() - set(wanted)
        if lost:
            raise SystemExit(
                f"--page: {given.page} has rows of {', '.join(sorted(lost))}, and {given.json} has none of"
                " them: name the file that they are from"
            )
        given.page.open("r+").close()


def _told_options(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """Return what was measured otherwise than usual: a row of one round is no row of five."""
    told = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in vars(given).items()
        if name not in ("only", "page", "json", "demo_report") and value != parser.get_default(name)
    ]
    return f", with {' '.join(told)}" if told else ""


def _is_read(part: str, given: argparse.Namespace) -> bool:
    """Return whether a part is an earlier run's, of wherever that was, and not measured here."""
    return part == "loop" and given.demo_report is not None


def _keep(new: Mapping[str, Measured], given: argparse.Namespace, say: Say) -> None:
    """Put parts among those of the file as it is by now: another bench may have written to it meanwhile."""
    if not given.json:
        return
    with alone_with(given.json):
        known = {**read_measured(given.json), **new}
        for part in known.keys() - PARTS.keys():
            say(f"{given.json}: {part} is no part of the bench any more: its rows are left out")
        kept = {part: known[part] for part in PARTS if part in known}
        write_measured(given.json, kept)
        if given.page:
            put_between_markers(given.page, markdown_table(kept))


def _already_open(given: argparse.Namespace) -> tuple[int, ...]:
    return (10_000, 100_000, *((1_000_000,) if given.large else ()), *given.open)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure rlwd side by side."
    )
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts")
    parser.add_argument("--page", type=Path, help="write what --json has between its bench markers")
    parser.add_argument(
        "--json", type=Path, help="keep all numbers here; parts that are not measured now stay"
    )
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
