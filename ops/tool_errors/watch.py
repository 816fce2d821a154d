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
from .past import ToolPast
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
"""A spike goes on while what fails is more surprising than this, and is over once no look of a whole
window found it so: what fails at a rate just beyond its bar would begin and end all day. What is held
against the bar goes on while it is above it."""
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
        self._past: tuple[float, ToolPast] | None = None

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
            behind = watermark(tx, self.policy) - self.grace_seconds - until
            # What an older rlwd left is counted first: an alarm is about now.
            fresh = self._judge(tx, until) if behind <= self.settings.window_seconds else []
            keep = self._baseline_seconds + KEEP_DAYS * DAY
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
                after = mark - self._baseline_seconds
            if mark <= after:
                return False
            until = next_window(tx, self.policy, after, mark)
            calls_table.add_calls(tx, self.policy, count_results(tx, self.policy, after, until))
            calls_table.move_read_until(tx, self.policy, until)
        return until < mark

    def _judge(self, tx: Transaction, until: float) -> list[ToolAnomaly]:
        """Open what is new, and close what is over."""
        since = until - self.settings.window_seconds
        # A bucket that the window has cut belongs to it.
        edge = (since // BUCKET) * BUCKET
        now = calls_table.calls_between(tx, self.policy, edge, until + 1)
        known = calls_table.anomalies(tx, self.policy, since=edge - self._baseline_seconds)
        going_on = {a.key: a for a in known if a.ended is None}
        fresh, surprising = list[ToolAnomaly](), set[tuple[str, str, str]]()
        for one in tested(now, self._before(tx, edge), known, self.settings):
            if one.key in going_on:
                if one.chance < (1.0 if one.error_class == UNKNOWN else OVER_ALPHA):
                    surprising.add(one.key)
            elif one.chance < (BAR_ALPHA if one.error_class == UNKNOWN else SPIKE_ALPHA):
                fresh.append(self._anomaly(tx, one, until, since))
        for anomaly in fresh:
            calls_table.save_anomaly(tx, self.policy, anomaly)
        for key, anomaly in going_on.items():
            if key in surprising:
                still = msgspec.structs.replace(anomaly, seen=until)
                calls_table.save_anomaly(tx, self.policy, still)
            elif max(anomaly.began, anomaly.seen) <= since:
                ended = msgspec.structs.replace(anomaly, ended=until)
                calls_table.save_anomaly(tx, self.policy, ended)
        return fresh

    @property
    def _baseline_seconds(self) -> float:
        return self.settings.baseline_days * DAY

    def _before(self, tx: Transaction, edge: float) -> ToolPast:
        """Return what was before the window: read again when that moves on by a bucket.

        What comes late is in it from then on.
        """
        if self._past is None or self._past[0] != edge:
            stretch = max(BUCKET, int(self.settings.window_seconds))
            since = edge - self._baseline_seconds
            counts = calls_table.calls_between(tx, self.policy, since, edge, stretch)
            self._past = edge, ToolPast(counts)
        return self._past[1]

    def _anomaly(self, tx: Transaction, one: Tested, until: float, since: float) -> ToolAnomaly:
        return ToolAnomaly(
            tool=one.tool,
            version=one.version,
            error_class=one.error_class,
            began=until,
            seen=until,
            calls=one.calls,
            errors=one.errors,
            expected=one.expected,
            bar=one.error_class == UNKNOWN,
            evidence=failed_answers(tx, self.policy, *one.key, since, EVIDENCE),
        )
