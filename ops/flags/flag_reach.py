"""FlagReach: which gateways act on the newest flags; a rollback is complete when all of them do."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from ...streams.state.transaction import Transaction
from . import intents_table
from .gateway_report import HEARD_SECONDS, GatewayReport, read_reports
from .gateways_table import heard_reports

LATE_SECONDS = 15.0
"""A gateway that is heard of, and after so long still acts on older flags, is a problem."""


class FlagReach(msgspec.Struct, frozen=True, kw_only=True):
    """How far the newest flags have come."""

    generation: int
    """What every gateway should act on; 0 where nothing was decided yet."""
    since: float | None
    """Epoch seconds when the flag file was seen to say it; None while it does not."""
    gateways: tuple[GatewayReport, ...]
    """Those heard of in the last minute, by name."""

    @property
    def behind(self) -> tuple[GatewayReport, ...]:
        """Those that act on older flags."""
        return tuple(one for one in self.gateways if one.generation < self.generation)

    @property
    def complete(self) -> bool:
        """True once the flag file says it, and every gateway that was heard of acts on it."""
        return self.since is not None and not self.behind

    def problem(self, now: float) -> str | None:
        """Return which gateways do not follow, once that is no matter of a moment."""
        if self.since is None or now - self.since < LATE_SECONDS or not self.behind:
            return None
        return self.sentence

    @property
    def sentence(self) -> str:
        """How far, in words."""
        number = len(self.gateways)
        if not number:
            return f"generation {self.generation}; no gateway was heard of in the last minute"
        if not self.behind:
            return f"generation {self.generation}, on all of {number} gateways heard of lately"
        names = ", ".join(f"{one.gateway} on {one.generation}" for one in self.behind)
        return f"generation {self.generation} is not everywhere: {names}"


def read_reach(
    view: Transaction, policy: str, flags: Path, now: float, *, listening: bool = True
) -> FlagReach:
    """Return how far the newest flags have come; `flags` is the flag file.

    Where no daemon is `listening`, those count whom the last one heard of in its last minute: nobody
    knows what they act on now.
    """
    remote = heard_reports(view, policy)
    heard_until = now if listening else max((one.at for one in remote), default=now)
    found = {one.gateway: one for one in _fresh(remote, heard_until)}
    found |= {one.gateway: one for one in _fresh(read_reports(flags), now)}
    newest = intents_table.newest_times(view, policy)
    return FlagReach(
        generation=0 if newest is None else newest[0],
        since=None if newest is None else newest[1],
        gateways=tuple(found[name] for name in sorted(found)),
    )


def _fresh(reports: Iterable[GatewayReport], now: float) -> Iterable[GatewayReport]:
    return (one for one in reports if one.at >= now - HEARD_SECONDS)
