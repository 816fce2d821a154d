"""Bench table: what was measured side by side, as numbers, on the terminal and in docs/bench.md."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from rich.table import Table

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing measured against another, round by round in turns.

    Ours 50, 40, 60 events/s against 100, 100, 100 is a ratio of 0.5, their medians 50 and 100.
    """

    part: str
    """ingest, gateway or loop."""
    what: str
    """What was measured."""
    unit: str
    """Of ours and theirs."""
    against: str
    """What it was measured against."""
    ours: tuple[float, ...]
    """One value for each round."""
    theirs: tuple[float, ...] = ()
    """One value for each round, taken in turns with ours; empty where there is nothing beside it."""
    compare: Literal["ratio", "added", "alone"] = "ratio"
    """Ours over theirs, ours minus theirs, or ours alone."""
    goal: float | None = None
    """What the result should reach; None where nothing is promised."""
    at_least: bool = True
    """Whether the goal is the least or the most."""

    @property
    def result(self) -> float:
        """Median over the rounds of what each round gave, so that a slow round hurts both sides."""
        if self.compare == "alone":
            return statistics.median(self.ours)
        pairs = zip(self.ours, self.theirs, strict=True)
        if self.compare == "added":
            return statistics.median(ours - theirs for ours, theirs in pairs)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.result >= self.goal if self.at_least else self.result <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return the row as texts: part, what, ours, against, theirs, result, goal."""
        theirs = _number(statistics.median(self.theirs)) if self.theirs else ""
        result = _number(self.result)
        if self.compare == "added":
            result = f"{result if self.result < 0 else '+' + result} {self.unit}"
        if self.compare == "alone":
            result = ""
        goal = ""
        if self.goal is not None:
            sign = ">=" if self.at_least else "<="
            goal = f"{sign} {_number(self.goal)}: {'yes' if self.met else 'no'}"
        ours = f"{_number(statistics.median(self.ours))} {self.unit}"
        return self.part, self.what, ours, self.against, theirs, result, goal


HEADER = ("part", "what", "ours", "against", "theirs", "result", "goal")


def machine() -> str:
    """Say what all of this runs on, and how busy it was a moment ago: others' work is in the numbers."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({_processor()}), Python {platform.python_version()},"
        f" {date.today().isoformat()}, load average {os.getloadavg()[0]:.1f} at the start"
    )


def _processor() -> str:
    """Say which processor: many machines have as many cores, and one table may hold figures of two."""
    told = platform.machine()
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{told}, {models[0]}" if models else told


def terminal_table(lines: Sequence[Line], where: str) -> Table:
    """Return the table for a terminal."""
    table = Table(title=f"bench: {where}", title_justify="left")
    for name in HEADER:
        table.add_column(name, justify="right" if name in ("ours", "theirs", "result") else "left")
    for line in lines:
        style = {True: "green", False: "red", None: ""}[line.met]
        table.add_row(*line.cells(), style=style)
    return table


def put_between_markers(page: Path, table: str) -> None:
    """Replace what stands between a page's bench markers.

    Raises ValueError, and writes nothing, where there is not one pair of them.
    """
    before, after = around_markers(page)
    page.write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def parts_on(page: Path) -> set[str]:
    """Return the parts that a page's table has rows of; raises ValueError as above."""
    before, after = around_markers(page)
    table = page.read_text().removeprefix(before).removesuffix(after)
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    return {line for line in rows if line}


def around_markers(page: Path) -> tuple[str, str]:
    """Return what stands before and after a page's table; raises ValueError as above."""
    before, begun, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended or BEGIN in rest or END in after:
        raise ValueError(f"{page}: needs one {BEGIN} and after it one {END}")
    return before, after


def _number(value: float) -> str:
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size < 100 else f"{value:.0f}"
