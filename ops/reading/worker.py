"""ReadingWorker: reads what is unread on threads of its own, and writes what it read to the topic.

Consumes: unread rows; waits for: `ask`; produces: `judged` records on the feedback topic, and rows to
give up and tallies, which the loop writes. A record comes back through ingest, and its row goes with
that: killed before, the row is read again, under the same id, and what was written twice counts once.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...streams.log.ports import EventSink
from ...streams.readings.reading_tallies import tallies_of
from ...streams.readings.unread import UnreadRow
from ...streams.state.store import Store
from .judge import Judge
from .judge_turns import JudgeTurns
from .lane import Lane
from .learned_readers import LearnedReaders
from .learned_turns import LearnedTurns
from .outcomes import Outcomes
from .settings import SatisfactionSettings

TURN_SECONDS = 10.0
"""Longest turn of the judge's."""


class ReadingWorker:
    """Owns the reader and the judge; the loop asks it, and takes what is to be written to the tables.

    Each has a thread of its own: neither training nor what the learned reader reads waits for a judge.
    """

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: SatisfactionSettings,
        folder: Path,
        sink: EventSink,
        topic: str,
        key: bytes,
        *,
        clock: Callable[[], float] = time.time,
        judge: Judge | None = None,
    ) -> None:
        self.store, self.policy, self.settings = store, policy, settings
        self.clock = clock
        self.judge = judge or (Judge(settings.judge, self._spent) if settings.judge.url else None)
        self.learned = LearnedReaders(store, policy, settings, folder)
        self._outcomes = Outcomes(sink, topic, key)
        self._reads = LearnedTurns(store, policy, settings, self.learned, self._outcomes)
        self._judges = JudgeTurns(store, policy, settings, self.judge, self._outcomes, TURN_SECONDS)
        self._lanes = (
            Lane("reader", lambda: self._reads.turn(self.clock())),
            Lane("judge", lambda: self._judges.turn(self.clock())),
        )
        self._day: tuple[float, tuple[int, int]] = (-1.0, (0, 0))
        self._taken, self._spending = (0, 0), threading.Lock()

    @property
    def problem(self) -> str | None:
        """What keeps it from reading; None where nothing does."""
        found = [lane.problem for lane in self._lanes]
        found += [] if self.judge is None else [self.judge.problem]
        return next((problem for problem in found if problem is not None), None)

    @property
    def alive(self) -> bool:
        """Whether any of its threads runs."""
        return any(lane.alive for lane in self._lanes)

    def start(self) -> None:
        """Begin to read; where all is off, to give up what was noted before."""
        for lane in self._lanes:
            lane.start()

    def ask(self) -> None:
        """Ask it to look; safe from any thread."""
        for lane in self._lanes:
            lane.ask()

    def train_soon(self) -> None:
        """Ask it to train where it is time; safe from any thread."""
        self._reads.train_soon()
        self.ask()

    def stop(self) -> None:
        """Read no more; a call of the judge in progress keeps nobody."""
        for lane in self._lanes:
            lane.end()
        if self.judge is not None:
            self.judge.close()
        for lane in self._lanes:
            lane.join()

    def take(self) -> tuple[list[UnreadRow], Counter[str]]:
        """Return the rows to give up and what was done, since the last time; `settled` has to follow."""
        rows, told = self._outcomes.take()
        if self.judge is not None:
            with self._spending:
                told += self.judge.take_told()
                self._taken = told["calls"], told["tokens"]
        return rows, told

    def settled(self, rows: list[UnreadRow], told: Counter[str], *, written: bool) -> None:
        """Hear whether what was taken is in the tables; where it is not it is taken again."""
        if not written:
            self._outcomes.put_back(rows, told)
            return
        with self._spending:
            self._taken, self._day = (0, 0), (-1.0, (0, 0))

    def facts(self) -> dict[str, Any]:
        """Return which reader is in use, and why it is silent where it is."""
        settings, state = self.settings, self.learned.state
        if settings.reader == "learned":
            return {"reader": state.version, "silent": state.silent}
        judged = settings.reader == "judge" and self.judge is not None
        return {"reader": self.judge.version if judged and self.judge else "off", "silent": ""}

    def turn(self, now: float) -> int:
        """Let each of them have its turn, here and now; return how many readings were written."""
        return self._reads.turn(now) + self._judges.turn(now)

    def _spent(self) -> tuple[int, int]:
        """Return what was spent today: by the tables, and what is on its way there."""
        with self._spending:
            now = self.clock()
            at, known = self._day
            if int(at // 86400.0) != int(now // 86400.0):
                with self.store.reading() as view:
                    told = tallies_of(view, self.policy, now)
                known = told.get("calls", 0), told.get("tokens", 0)
                self._day = (now, known)
            return known[0] + self._taken[0], known[1] + self._taken[1]
