"""Ingest role: a daemon that only consumes, joins, scores and closes horizons (CONTRACTS 24).

Many of them share one consumer group and one PostgreSQL with the one in the control role, which may
ingest beside them. Each row is written by whoever holds its partition; there is no lease to take,
no learner and no release. On SQLite one process writes at a time, so a second would bring nothing.
"""

import time
from collections.abc import Callable

import structlog

from ...streams.join.episodes_table import count_fates
from ...streams.join.ingest import Ingest
from ...streams.state.store import Store
from ..status.metrics import Metrics
from ..status.server import StatusServer, Vitals
from .lifecycle import Lifecycle, notify
from .timers import PERIODS, Intent, Timers

log = structlog.get_logger()

JOBS = (Intent.CLOSE_HORIZONS, Intent.MEASURE)


class IngestLoop:
    """One member of the group. One thread owns all of its state; timers only ask.

    Consumes: records; waits for: records; unblocked by: records, the poll's time limit, a signal;
    produces: episodes with rewards, dead letters for the control role to forward.
    """

    def __init__(
        self,
        *,
        store: Store,
        policy: str,
        ingest: Ingest,
        health: StatusServer,
        vitals: Vitals,
        metrics: Metrics,
        poll_seconds: float,
        poll_records: int,
        clock: Callable[[], float],
    ) -> None:
        self.store, self.policy, self.ingest = store, policy, ingest
        self.health, self.vitals, self.metrics = health, vitals, metrics
        self.poll_seconds, self.poll_records, self.clock = poll_seconds, poll_records, clock
        self.jobs = Timers({intent: PERIODS[intent] for intent in JOBS})
        self.lifecycle = Lifecycle()
        self._ready = False

    def run(self) -> None:
        """Turn until asked to stop, then let go."""
        with self.lifecycle.signals():
            self.startup()
            try:
                while not self.lifecycle.stopping:
                    self.tick(self.clock())
            finally:
                self.shutdown()

    def tick(self, now: float) -> None:
        """Take in what people did, and give up what waited too long."""
        ingested = self.ingest.step(now, self.poll_seconds, self.poll_records)
        began = time.perf_counter()
        for intent in self.jobs.drain():
            self._do(intent, now)
        self._tell()
        self.metrics.ingested(ingested)
        self.metrics.ticked(time.perf_counter() - began)

    def startup(self) -> None:
        """Start what asks and answers."""
        self.health.start()
        self.jobs.start()
        log.info("ingest_started", policy=self.policy, owner=self.ingest.joiner.owner)

    def shutdown(self) -> None:
        """Let go; the group keeps the partitions for this member until its session ends."""
        notify("STOPPING=1")
        self.jobs.stop()
        assert self.ingest.source is not None, "a daemon has a source"
        self.ingest.source.close()
        self.health.stop()
        self.store.close()
        log.info("ingest_stopped", delivered=self.ingest.delivered)

    def _do(self, intent: Intent, now: float) -> None:
        try:
            if intent is Intent.CLOSE_HORIZONS:
                self.ingest.close_horizons(now)
            else:
                with self.store.reading() as view:
                    self.metrics.fates(count_fates(view, self.policy))
        except (ConnectionError, TimeoutError) as problem:
            # The next poll says whether the database is away; the timer asks again.
            log.warning("job_waits", job=str(intent), problem=str(problem))

    def _tell(self) -> None:
        assert self.ingest.source is not None, "a daemon has a source"
        partitions = sorted(self.ingest.source.progress())
        self.vitals.ticked_at = time.monotonic()
        self.vitals.live = {
            "role": "ingest",
            "owner": self.ingest.joiner.owner,
            "partitions": [f"{each.topic}/{each.index}" for each in partitions],
            "delivered": self.ingest.delivered,
        }
        self.vitals.report("log", self.ingest.problem)
        self.vitals.report("database", self.ingest.away)
        if not self._ready and not self.vitals.problems:
            self._ready = True
            log.info("ingest_ready")
            notify("READY=1")
        notify("WATCHDOG=1")
