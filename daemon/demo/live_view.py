"""Live view: the demo's picture in the terminal; plain lines where there is no terminal."""

import time
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .crowd import CrowdResults
from .curve import rolling
from .processes import DemoProcesses

BARS = " ▁▂▃▄▅▆▇█"
PLAIN_EVERY_SECONDS = 10.0
WIDTH = 64


class Phase(StrEnum):
    """What the demo is doing."""

    PRETRAINING = "pre-training a tiny policy, which answers in every way alike"
    STARTING = "starting engine, daemon and gateway"
    SERVING = "people are using it"
    SETTLING = "the last feedback is being joined"
    DONE = "done"


class LiveView:
    """Shows accept rate, versions, variants and lag while the demo runs."""

    def __init__(self, console: Console, processes: DemoProcesses) -> None:
        self.console, self.processes = console, processes
        self.phase, self.began = Phase.PRETRAINING, time.monotonic()
        self._said = 0.0
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._body: RenderableType = Text("")

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.phase = phase
        if phase in (Phase.PRETRAINING, Phase.STARTING):
            self._body = Text("")
        self._draw()
        if not self.console.is_terminal:
            self.console.print(f"[{self._clock()}] {phase}", highlight=False)
            if phase is Phase.SERVING:
                self.console.print(
                    f"the daemon's pages: {self.processes.http_url}", highlight=False
                )

    def progress(self, done: int, of: int) -> None:
        """Show how far pre-training is."""
        self._body = ProgressBar(total=of, completed=done, width=WIDTH)
        self._draw()

    def show(self, tally: CrowdResults, live: dict[str, Any]) -> None:
        """Show the loop as it is now."""
        self._body = Group(self._facts(tally, live), Text(sparkline(tally)), self._table(live))
        self._draw()
        if not self.console.is_terminal and time.monotonic() - self._said > PLAIN_EVERY_SECONDS:
            self._said = time.monotonic()
            now = live.get("live", {})
            self.console.print(
                f"[{self._clock()}] {len(tally.answers)} answers, accepted"
                f" {_recent(tally):.0%}, champion {_short(now.get('champion', ''))},"
                f" learner {now.get('learner', '?')}, rollout {_stage(now)}",
                highlight=False,
            )

    def _facts(self, tally: CrowdResults, live: dict[str, Any]) -> Table:
        now = live.get("live", {})
        facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        lag = max(0, len(tally.answers) - live.get("generations", 0))
        variants: dict[str, int] = {}
        for answer in tally.answers[-400:]:
            variants[answer.variant] = variants.get(answer.variant, 0) + 1
        total = max(1, sum(variants.values()))
        facts.add_row("accept rate", f"[bold]{_recent(tally):.0%}[/] of the last 400 answers")
        facts.add_row("answers", f"{len(tally.answers)}   failed {tally.failed}")
        facts.add_row("champion", _short(now.get("champion", "")))
        facts.add_row("rollout", _stage(now))
        facts.add_row("learner", str(now.get("learner", "?")))
        facts.add_row(
            "variants", "  ".join(f"{v} {n / total:.0%}" for v, n in sorted(variants.items()))
        )
        facts.add_row("pages", self.processes.http_url)
        facts.add_row("lag", f"{lag} answers not in the ledger yet")
        return facts

    def _table(self, live: dict[str, Any]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("version", "stage", "candidate - control", "users"):
            table.add_column(name)
        for version in live.get("versions", [])[-8:]:
            numbers = version.get("numbers", {})
            diff = numbers.get("ab/diff")
            table.add_row(
                _short(version["version"]),
                version["stage"],
                "" if diff is None else f"{diff:+.2f}",
                f"{numbers.get('ab/users_candidate', 0):.0f} + {numbers.get('ab/users_control', 0):.0f}",
            )
        return table

    def _draw(self) -> None:
        title = f"rlwd demo · {self.phase} · {self._clock()}"
        self._live.update(Panel(self._body, title=title, title_align="left", width=WIDTH + 20))

    def _clock(self) -> str:
        return f"{time.monotonic() - self.began:.0f} s"


def sparkline(tally: CrowdResults, width: int = WIDTH) -> str:
    """Return the accept rate over all answers as one line of bars."""
    curve = rolling([answer.taken for answer in tally.answers])
    if not curve:
        return ""
    points = [curve[min(len(curve) - 1, i * len(curve) // width)] for i in range(width)]
    return "".join(BARS[round(point * (len(BARS) - 1))] for point in points)


def _recent(tally: CrowdResults) -> float:
    return sum(tally.recent) / max(1, len(tally.recent))


def _short(version: str) -> str:
    return version.rpartition("@")[2] or "-"


def _stage(now: dict[str, Any]) -> str:
    return str(now.get("rollout", "")).rpartition("@")[2] or "-"
