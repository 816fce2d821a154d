"""Trace queue: decided answers on their way from the tables to MLflow, so many a second.

The tables hold what waits, so nothing is lost or told twice over a restart. The mirror's thread reads
them in views that no writer waits for; what was told is written down by the loop, which owns the tables.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ...streams.answers import traced
from ...streams.answers.traced import TracedRow, Waits
from ...streams.redaction.privacy import PrivacySettings
from ...streams.state.store import Store
from .answer_trace import trace_records
from .mirror_settings import MirrorSettings
from .trace_record import trace_id_of

if TYPE_CHECKING:
    from .mlflow_traces import TraceWriter

Insist = Callable[[Callable[[], None]], None]
"""Runs an operation; raises where the server is away, and counts what it declines."""
AT_ONCE = 100
"""Most answers of one read."""


class TraceQueue:
    """Which answers wait for MLflow. `flush` is the mirror's thread's; all else is the loop's."""

    def __init__(
        self,
        settings: MirrorSettings,
        policy: str,
        store: Store,
        privacy: PrivacySettings | None = None,
    ) -> None:
        self.settings, self.policy, self.store = settings, policy, store
        self.privacy = privacy or PrivacySettings()
        self.experiment = settings.experiment_of(policy)
        self.waiting = 0
        """Answers that wait, when last counted."""
        self.dropped = 0
        """Answers that found no room, those that had waited longest."""
        self.written = 0
        """Traces written, again or for the first time."""
        self.deleted = 0
        """Traces deleted, since their content was forgotten."""
        self._told: dict[TracedRow, None] = {}
        self._lock = threading.Lock()
        self._allowed, self._last = 0.0, time.monotonic()

    def flush(self, writer: "TraceWriter", insist: Insist) -> None:
        """Write what waits, negatives first, as many as are allowed; raise where MLflow is away."""
        rows = self._next()
        with self.store.reading() as view:
            names = [row.generation_id for row in rows if row.waits is not Waits.FORGOTTEN]
            records = trace_records(view, self.policy, self.experiment, names, self.privacy)
        for row in rows:
            record = records.get(row.generation_id)
            if record is None:
                # Forgotten meanwhile, or since: what was said of it before must go there, too.
                gone = trace_id_of(self.experiment, row.generation_id)
                insist(partial(writer.delete, [gone]))
                self.deleted += row.waits is Waits.FORGOTTEN
            else:
                insist(partial(writer.write, record, again=row.changes > 1))
                self.written += 1
            self._allowed -= 1.0
            with self._lock:
                self._told[row] = None

    def _next(self) -> list[TracedRow]:
        """Return what waits and has not been told, no more than the rate allows."""
        now, rate = time.monotonic(), self.settings.traces_per_second
        # Of a pause, no more than a few seconds' worth is made up for.
        most = max(1.0, 2.0 * rate * self.settings.flush_seconds)
        self._allowed = min(most, self._allowed + rate * (now - self._last))
        self._last = now
        allowed = min(AT_ONCE, int(self._allowed))
        if allowed < 1:
            return []
        with self._lock:
            told = set(self._told)
        with self.store.reading() as view:
            rows = traced.waiting(view, self.policy, allowed + len(told))
        return [row for row in rows if row not in told][:allowed]

    def settle(self) -> None:
        """Write down what was told, and drop what finds no room."""
        with self._lock:
            told = list(self._told)
        with self.store.transaction() as tx:
            self.waiting, dropped = traced.settle(
                tx, self.policy, told, self.settings.waiting_traces
            )
        self.dropped += dropped
        with self._lock:
            for row in told:
                del self._told[row]
