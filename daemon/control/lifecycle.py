"""Lifecycle: the signals that end a process in order, and the clocks it goes by."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ...streams.ending_signals import ending_signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One span of time shared by all the calls that must fit into it."""

    at: float
    """Monotonic seconds."""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that lies so many seconds ahead."""
        return cls(at=time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - time.monotonic())


class SteadyClock:
    """Epoch seconds that a jump of the wall clock does not move.

    Read from the wall once, at start; from then on the monotonic clock counts. A clock set forward
    by a day would otherwise close every horizon of that day at once.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> float:
        """Return epoch seconds."""
        return self._offset + self._monotonic()


class Lifecycle:
    """Turns signals into a flag that the loop reads; a second signal means at once."""

    def __init__(self) -> None:
        self.stopping = False
        self.by_signal: int | None = None

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Catch what ends a process in the block; restore the old handlers after it."""
        old = {number: signal.signal(number, self._catch) for number in ending_signals()}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        # Only a flag: nothing else is safe in a handler.
        if self.stopping:
            if number == signal.SIGHUP:
                return
            os._exit(128 + number)
        self.stopping, self.by_signal = True, number
