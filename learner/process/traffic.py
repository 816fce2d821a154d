"""Traffic: the learner's pauses while people's requests are slow. Importable without torch.

They are made before forward passes, and there the daemon is told, too, that the learner works; so it is at
each step of its start.
"""

import threading
import time
from collections.abc import Callable

import structlog

from ..yield_settings import YieldSettings
from .protocol import Yielding

log = structlog.get_logger()

TELL_SECONDS = 1.0
"""Between two times that the daemon is told of a pause that goes on."""
WORKING_SECONDS = 10.0
"""Between two times that the daemon is told that the learner works."""
TOGETHER_SECONDS = 60.0
"""Longest that the other ranks wait to hear that the pause goes on: what they wait in has a time limit."""


class Traffic:
    """What the daemon said of people's requests, and how long the batch was paused for them.

    The thread of the pipe calls `hear`, that of the learner all else. Only rank 0 hears the daemon; the
    others wait with it.
    """

    def __init__(
        self,
        settings: YieldSettings,
        tell: Callable[[Yielding], None] = lambda _: None,
        *,
        at_work: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` is told of a pause: when it begins, every second, and when it is over. `at_work` is called
        now and then before a forward pass.
        """
        self.settings, self.tell, self.clock, self.at_work = settings, tell, clock, at_work
        self.yielded = 0.0
        """Seconds that the batch was paused so far."""
        self.pauses = 0
        """How often."""
        self._in_batch, self._worked = False, clock()
        self._until = float("-inf")
        self._changed = threading.Condition()

    def hear(self, slow_seconds: float) -> None:
        """Take requests to be slow for so long from now on; 0: they are not any more."""
        with self._changed:
            self._until = self.clock() + slow_seconds if slow_seconds else float("-inf")
            self._changed.notify_all()

    def begin_batch(self) -> None:
        """Count anew; before the first batch nothing is paused."""
        self.yielded, self.pauses, self._in_batch = 0.0, 0, True

    def make_way(self, together: Callable[[bool], bool] = lambda done: done) -> None:
        """Wait while requests are slow, for as long as the batch may still be paused.

        `together` returns whether something holds on every rank, and all of them call it.
        """
        if self.clock() - self._worked >= WORKING_SECONDS:
            self._worked = self.clock()
            self.at_work()
        if not self.settings.above_seconds or not self._in_batch:
            return
        before = self.yielded
        while not together(self._waited(before)):
            pass
        if self.yielded == before:
            return
        self.pauses += 1
        self.tell(Yielding(seconds=self.yielded - before, over=True))
        if self.yielded >= self.settings.batch_seconds:
            log.warning("traffic_stays_slow", yielded_seconds=round(self.yielded, 1))

    def metrics(self) -> dict[str, float]:
        """Return how long the batch was paused and how often; nothing where it never may be."""
        if not self.settings.above_seconds:
            return {}
        return {"yield/seconds": self.yielded, "yield/pauses": float(self.pauses)}

    def _waited(self, before: float) -> bool:
        """Wait for a while; return whether there is nothing more to wait for."""
        began, already, told = self.clock(), self.yielded, float("-inf")
        with self._changed:
            while (left := self._left()) > 0.0:
                if (now := self.clock()) - began >= TOGETHER_SECONDS:
                    return False
                if now - told >= TELL_SECONDS:
                    self.tell(Yielding(seconds=self.yielded - before, over=False))
                    told = now
                self._changed.wait(min(left, TELL_SECONDS))
                self.yielded = already + self.clock() - began
        return True

    def _left(self) -> float:
        return min(self._until - self.clock(), self.settings.batch_seconds - self.yielded)
