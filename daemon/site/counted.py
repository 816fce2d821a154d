"""Counted: what a page counted over all answers, for a while, so that asking often costs the loop nothing."""

import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from ...streams.state.transaction import Transaction

T = TypeVar("T")
SOON = 0.25
"""Seconds up to which what was read is read anew each time."""
MOST_OFTEN = 49.0
"""Pause after a longer reading, in times what it took: a fiftieth of the time is spent on it."""
PATIENCE_SECONDS = 1.0
"""A person who opens a page waits so long for the first reading."""
UNASKED_SECONDS = 600.0
"""Pause where nobody asked since: who comes then sees what is no older than that, and soon what is new."""


class StillCounting(Exception):
    """It is read for the first time, which takes long; who asks again in a moment gets it."""


class _Count(NamedTuple, Generic[T]):
    """One reading."""

    found: T
    """What was read."""
    at: float
    """When, epoch seconds."""
    took: float
    """What it cost, seconds."""
    ended: float
    """When it ended, by the clock of the pauses."""


class CountedOnce(Generic[T]):
    """One reading for all who ask; while one reads for the first time, the others wait for it.

    Where a keeper reads, who has no patience is told StillCounting instead.
    """

    def __init__(
        self,
        read: Callable[[Transaction], T],
        spent: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spent` is the clock of what reading costs: of this thread, or of a server that is waited for."""
        self.read, self.spent, self.clock = read, spent, clock
        self.keeper: threading.Event | None = None
        """Set by who reads again what takes long (`CountKeeper`); without one, whoever asks does."""
        self._lock, self._tried = threading.Lock(), threading.Event()
        self._last: _Count[T] | None = None
        self._asked = False

    def ask(self, view: Transaction, now: float, patience: float | None = None) -> tuple[T, float]:
        """Return what was read, and when, epoch seconds; `now` is this moment.

        Raises StillCounting where a keeper has not read it once within `patience` seconds.
        """
        self._asked = True
        if patience is not None and self.keeper is not None and not self._tried.wait(patience):
            raise StillCounting
        last = self._last
        if last is None or not self._is_held(last):
            last = self.count(view, now)
        elif self.keeper is not None and self.due_in() <= 0.0:
            self.keeper.set()
        return last.found, last.at

    def count(self, view: Transaction, now: float) -> _Count[T]:
        """Read again, unless somebody just did."""
        before = self._last
        with self._lock:
            last = self._last
            if last is not None and last is not before and self._is_held(last):
                return last
            began, self._asked = self.spent(), False
            try:
                found = self.read(view)
            finally:
                self._tried.set()  # Where it failed, whoever asks is to see why.
            self._last = _Count(found, now, self.spent() - began, self.clock())
            return self._last

    def due_in(self) -> float:
        """Return in how many seconds its keeper is to read it again; none or less: now."""
        last = self._last
        if last is None:
            return 0.0
        # What takes no time is read anew by whoever asks; here it is only seen to be so still.
        waits = self._asked and last.took > SOON
        pause = max(MOST_OFTEN * last.took, 0.0 if waits else UNASKED_SECONDS)
        return last.ended + pause - self.clock()

    def _is_held(self, last: _Count[T]) -> bool:
        """Return whether a reading is shown to who asks now."""
        if last.took <= SOON:
            return False
        return self.keeper is not None or self.clock() < last.ended + MOST_OFTEN * last.took
