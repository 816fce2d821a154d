"""GatewayWatch: takes down what gateways say: how far the flags have come, and how long requests take."""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ...ops.flags import gateways_table, intents_table
from ...ops.flags.flag_reach import FlagReach, read_reach
from ...ops.flags.gateway_report import read_reports
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..status.flag_page import FlagPage
from .making_way import MakingWay

log = structlog.get_logger()

LISTEN_SECONDS = 1.0
"""Between two times that what was heard is written down."""


class GatewayWatch:
    """What one daemon hears of its gateways. The loop's thread owns it.

    By the wall clock and not the loop's: commands of other processes compare these times with theirs.
    """

    def __init__(
        self,
        store: Store,
        policy: str,
        flags: Path,
        page: FlagPage,
        making_way: MakingWay,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.policy, self.flags, self.page = store, policy, flags, page
        self.making_way, self.clock = making_way, clock
        self.reach: FlagReach | None = None
        """How far the flags had come when it was last measured."""
        self._listened = float("-inf")

    def start(self) -> None:
        """Wait for those whom the daemon before this one had heard of."""
        with self.store.transaction() as tx:
            gateways_table.expect_again(tx, self.policy, self.clock())

    def listen(self, now: float) -> bool:
        """Write down what was heard; return whether a gateway is ahead of the tables.

        It is where an older state was restored: it would refuse what the tables say.
        """
        if now - self._listened < LISTEN_SECONDS:
            return False
        self._listened = now
        heard = self.page.heard()
        here = read_reports(self.flags) if self.making_way.above_seconds else ()
        self.making_way.step((*heard, *here), self.clock())
        if not heard:
            return False
        with self.store.transaction() as tx:
            gateways_table.put_reports(tx, self.policy, heard)
            newest = intents_table.newest_times(tx, self.policy)
            generation = 0 if newest is None else newest[0]
        ahead = [one for one in heard if one.generation > generation]
        if ahead:
            log.warning("gateway_ahead", gateway=ahead[0].gateway, generation=ahead[0].generation)
        return bool(ahead)

    def measure(self, view: Transaction) -> FlagReach:
        """Read how far the newest flags have come."""
        self.reach = read_reach(view, self.policy, self.flags, self.clock())
        return self.reach

    def problem(self) -> str | None:
        """Return which gateways do not follow; None where all do."""
        return None if self.reach is None else self.reach.problem(self.clock())
