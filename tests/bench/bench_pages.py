"""Bench of the daemon's pages: how fast what they count over all answers is counted, on a state of many."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_state import long_state
from bench_table import Line

from rlwd.daemon.charts.curves import read_curves
from rlwd.daemon.status.snapshot import describe
from rlwd.daemon.views.ledger import read_sums
from rlwd.streams.state.transaction import Transaction

ANSWERS = 40_000
COUNTED: tuple[tuple[str, Callable[[Transaction], object]], ...] = (
    ("/statusz, and the counts of /", lambda view: describe(view, "policy")),
    ("the curves of /", lambda view: read_curves(view, "policy")),
    ("/ledger", lambda view: read_sums(view, "policy", ())),
)


def bench_pages(*, rounds: int, say: Callable[[str], None], answers: int = ANSWERS) -> list[Line]:
    """Measure what is counted for a page's first visitor, against reading every row of the answers once."""
    say(f"pages: a state of {answers} answers")
    found = []
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        path = long_state(Path(place) / "rlwd.db", answers)
        for page, count in COUNTED:
            ours, theirs = list[float](), list[float]()
            for _ in range(rounds):
                ours.append(answers / _spent(path, count))
                theirs.append(answers / _spent(path, _every_row))
            found.append(
                Line(
                    part="pages",
                    what=f"what is counted for {page}; one core",
                    unit="answers/s",
                    against="their rows and the feedback's read once",
                    ours=tuple(ours),
                    theirs=tuple(theirs),
                )
            )
    return found


def _spent(path: Path, count: Callable[[Transaction], object]) -> float:
    """Return the processor time of a count, from a view of its own as a page has it."""
    view = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    began = time.process_time()
    count(view)
    spent = time.process_time() - began
    view.close()
    return spent


def _every_row(view: Transaction) -> None:
    view.execute("SELECT COUNT(behaviours), SUM(received) FROM episodes").fetchall()
    view.execute("SELECT SUM(LENGTH(payload)), SUM(received) FROM feedback").fetchall()
