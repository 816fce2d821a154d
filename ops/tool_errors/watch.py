"""Watch: counts what tools answered, and finds what fails more often than it should."""

import time

import msgspec
import structlog

from ...streams.join.offsets import watermark
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from . import calls_table
from .blame import UNKNOWN
from .calls_table import BUCKET, ToolAnomaly
from .series import Tested, tested
from .settings import ToolErrorSettings
from .tally import count_results, failed_answers, next_window

log = structlog.get_logger()

DAY = 86_400.0
GRACE_SECONDS = 30.0
"""A result is counted once it is so old: what a product posts has come by then, and wins."""
SPIKE_ALPHA = 1e-5
"""Probability of so many failures by chance from which on they are a spike. One false alarm in 2,700
days of one tool and class, looked at every ten minutes (measured, docs/tool_errors.md)."""
BAR_ALPHA = 1e-3
"""The same for the fixed bar, at a rate that is just the bar."""
OVER_ALPHA = 0.05
"""A spike is over once what fails is less surprising than this."""
EVIDENCE = 10
KEEP_DAYS = 7.0
"""Counts stay so many days longer than a baseline needs them, for the pages."""
STEP_SECONDS = 0.5
"""Longest time that a look counts for; the rest waits for the next."""


class ToolWatch:
    """Looks at tools once in a while. Not thread-safe: the loop owns it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: ToolErrorSettings,
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.store, self.policy, self.settings = store, policy, settings
        self.grace_seconds = grace_seconds

    def look(self) -> list[ToolAnomaly]:
        """Count what has come since the last look; return the anomalies that are new.

        Each is written down and logged once, however long it goes on.
        """
        began = time.monotonic()
        while self._count() and time.monotonic() - began < STEP_SECONDS:
            pass
        with self.store.transaction() as tx:
            until = calls_table.read_until(tx, self.policy)
            if until is None:
                return []
            fresh = self._judge(tx, until)
            keep = (self.settings.baseline_days + KEEP_DAYS) * DAY
            calls_table.forget_calls(tx, self.policy, until - keep)
        for one in fresh:
            log.error("tool_anomaly", problem=one.sentence, answers=list(one.evidence))
        return fresh

    def _count(self) -> bool:
        """Count the next piece; False where nothing is left to count."""
        with self.store.transaction() as tx:
            mark = watermark(tx, self.policy) - self.grace_seconds
            after = calls_table.read_until(tx, self.policy)
            if after is None:
                # What a state brought along from an older rlwd is its baseline.
                after = mark - self.settings.baseline_days * DAY
            if mark <= after:
                return False
            until = next_window(tx, self.policy, after, mark)
            calls_table.add_calls(tx, self.policy, count_results(tx, self.policy, after, until))
            calls_table.move_read_until(tx, self.policy, until)
        return until < mark

    def _judge(self, tx: Transaction, until: float) -> list[ToolAnomaly]:
        """Open what is new, and close what is over."""
        since = until - self.settings.window_seconds
        past = since - self.settings.baseline_days * DAY
        # A bucket that the window has cut belongs to it.
        edge = (since // BUCKET) * BUCKET
        now = calls_table.calls_between(tx, self.policy, edge, until + 1)
        seconds = max(BUCKET, int(self.settings.window_seconds))
        before = calls_table.calls_between(tx, self.policy, past, edge, seconds)
        known = calls_table.anomalies(tx, self.policy, since=past)
        going_on = {(a.tool, a.version, a.error_class): a for a in known if a.ended is None}
        fresh, surprising = list[ToolAnomaly](), set[tuple[str, str, str]]()
        for one in tested(now, before, known, self.settings):
            key = (one.tool, one.version, one.error_class)
            if key in going_on:
                if one.chance < OVER_ALPHA:
                    surprising.add(key)
            elif one.chance < (BAR_ALPHA if one.error_class == UNKNOWN else SPIKE_ALPHA):
                fresh.append(self._anomaly(tx, one, until, since))
        for anomaly in fresh:
            calls_table.save_anomaly(tx, self.policy, anomaly)
        for key in going_on.keys() - surprising:
            ended = msgspec.structs.replace(going_on[key], ended=until)
            calls_table.save_anomaly(tx, self.policy, ended)
        return fresh

    def _anomaly(self, tx: Transaction, one: Tested, until: float, since: float) -> ToolAnomaly:
        key = (one.tool, one.version, one.error_class)
        return ToolAnomaly(
            tool=one.tool,
            version=one.version,
            error_class=one.error_class,
            began=until,
            calls=one.calls,
            errors=one.errors,
            expected=one.expected,
            bar=one.error_class == UNKNOWN,
            evidence=failed_answers(tx, self.policy, *key, since, EVIDENCE),
        )
