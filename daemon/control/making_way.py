"""MakingWay: tells the learner when people's requests are slow, as gateways say."""

from collections.abc import Iterable

from ...learner.process.protocol import TrafficSlow
from ...learner.process.supervisor import LearnerSupervisor
from ...ops.flags.gateway_report import GatewayReport

FRESH_SECONDS = 10.0
"""What a gateway said before says nothing of now: it ended, hangs, or asks for flags too seldom."""
SAY_SECONDS = 1.0
"""Between two times that the learner is told that requests are still slow."""
LASTS_SECONDS = 30.0
"""How long the learner believes it: longer than a round of the daemon's loop, which seals a batch in one of
them on the same busy machine; and a daemon that hangs, or waits for its database, holds nobody up."""


class MakingWay:
    """What gateways said of their requests, and what the learner was told of it. The loop's thread owns it."""

    def __init__(self, child: LearnerSupervisor) -> None:
        self.child, self.above_seconds = child, child.settings.learner.yielding.above_seconds
        self.p95: float | None = None
        """Highest of the gateways' 95th percentiles, seconds; None where nobody asks anything."""
        self._said = dict[str, GatewayReport]()
        self._slow_since_said = float("-inf")

    @property
    def slow(self) -> bool:
        """Whether the learner is to make way."""
        return bool(self.above_seconds) and self.p95 is not None and self.p95 > self.above_seconds

    def step(self, reports: Iterable[GatewayReport], now: float) -> None:
        """Take in what was heard since the last call, and tell the learner; `now` in epoch seconds."""
        was = self.slow
        self._said |= {one.gateway: one for one in reports}
        self._said = {n: one for n, one in self._said.items() if abs(now - one.at) < FRESH_SECONDS}
        told = [one.p95_seconds for one in self._said.values() if one.p95_seconds is not None]
        self.p95 = max(told, default=None)
        if not self.child.alive:
            return
        # A clock that was set back makes what was said last lie ahead.
        if self.slow and not 0.0 <= now - self._slow_since_said < SAY_SECONDS:
            self.child.send(TrafficSlow(seconds=LASTS_SECONDS))
            self._slow_since_said = now
        elif was and not self.slow:
            self.child.send(TrafficSlow(seconds=0.0))
            self._slow_since_said = float("-inf")
