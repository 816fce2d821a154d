"""Counted: what a page counted over all answers, for a while, so that asking often costs the loop nothing."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ...streams.state.transaction import Transaction

T = TypeVar("T")
SOON = 0.25
"""Seconds up to which what was read is read anew each time."""
MOST_OFTEN = 49.0
"""Pause after a longer reading, in times what it took: a fiftieth of the time is spent on it."""


class CountedOnce(Generic[T]):
    """One reading for all who ask; while one reads, the others wait for it."""

    def __init__(
        self,
        read: Callable[[Transaction], T],
        spent: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spent` is the clock of what reading costs: of this thread, or of a server that is waited for."""
        self.read, self.spent, self.clock = read, spent, clock
        self._lock = threading.Lock()
        self._found: tuple[T, float] | None = None
        self._again = 0.0

    def ask(self, view: Transaction, now: float) -> tuple[T, float]:
        """Return what was read, and when, epoch seconds; `now` is this moment."""
        with self._lock:
            if self._found is None or self.clock() >= self._again:
                began = self.spent()
                self._found = self.read(view), now
                took = self.spent() - began
                self._again = self.clock() + (MOST_OFTEN * took if took > SOON else 0.0)
            return self._found
