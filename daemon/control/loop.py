"""Loop: poll, join, score; learn; release; commit last."""

import contextlib
import time
from collections.abc import Callable

import structlog

from ...ops.rollout.release import Release
from ...ops.tracking.mirror import Mirror
from ...ops.tracking.reports import report_checkpoint
from ...streams.join.episodes_table import count_fates
from ...streams.join.ingest import Ingest
from ...streams.log.ports import EventSink
from ...streams.state.lease import Lease, LeaseLost, release_lease, renew_lease
from ...streams.state.store import Store
from ..status.metrics import Metrics
from ..status.server import StatusServer, Vitals
from .lifecycle import Deadline, Lifecycle, notify
from .timers import Intent, Timers
from .training import Training

log = structlog.get_logger()

RENEW_SECONDS = 5.0


class Daemon:
    """One policy's control loop. One thread owns all of its state; timers only ask.

    Consumes: records and the learner's checkpoints; waits for: records; unblocked by: records, the
    poll's time limit, a signal; produces: batches, offers, flags.
    """

    def __init__(
        self,
        *,
        store: Store,
        policy: str,
        lease: Lease,
        ingest: Ingest,
        training: Training,
        release: Release,
        sink: EventSink,
        dead_letter_topic: str,
        mirror: Mirror,
        jobs: Timers,
        health: StatusServer,
        vitals: Vitals,
        metrics: Metrics,
        poll_seconds: float,
        poll_records: int,
        stop_seconds: float,
        retention_days: float,
        clock: Callable[[], float],
    ) -> None:
        self.store, self.policy, self.lease = store, policy, lease
        self.ingest, self.training, self.release = ingest, training, release
        self.sink, self.dead_letter_topic, self.mirror = sink, dead_letter_topic, mirror
        self.jobs, self.health, self.vitals, self.metrics = jobs, health, vitals, metrics
        self.poll_seconds, self.poll_records = poll_seconds, poll_records
        self.stop_seconds, self.clock = stop_seconds, clock
        self.retention_days = retention_days
        self.lifecycle = Lifecycle()
        self.away: str | None = None
        """What keeps the database from being reached, while it does."""
        self._champion = ""
        self._renewed = 0.0
        self._ready = False

    def run(self) -> None:
        """Turn until asked to stop, then leave nothing half done."""
        with self.lifecycle.signals():
            self.startup()
            try:
                while not self.lifecycle.stopping:
                    self.tick(self.clock())
            except LeaseLost:
                # Whoever took over starts its own learner; ours must not write another line.
                self.training.child.stop(0.0)
                raise
            finally:
                self.shutdown(Deadline.after(self.stop_seconds))

    def tick(self, now: float) -> None:
        """Turn once; where the database is away, go on from its tables when it is back.

        Raises LeaseLost where another daemon took over.
        """
        try:
            self._turn(now)
        except ConnectionError as problem:
            # Engines, log and MLflow are minded where they are asked: this is the database.
            if self.away is None:
                log.warning("database_away", problem=str(problem))
            self.away = str(problem)
            time.sleep(self.poll_seconds)
        else:
            self.away = None
        self._tell()

    def _turn(self, now: float) -> None:
        """Take in what people did, learn from it, let out what was learned."""
        self._keep_lease(now)
        self.metrics.ingested(self.ingest.step(now, self.poll_seconds, self.poll_records))
        began = time.perf_counter()
        finished = self.training.step(now, self.release.undecided, self.release.owes_return)
        # Before the release speaks of them: MLflow refuses an alias to what it never heard of.
        for manifest in finished:
            report_checkpoint(self.mirror, manifest, self.training.checkpoints)
        self.release.step(now)
        for intent in self.jobs.drain():
            self._do(intent, now)
        self._champion = self.release.champion_version()
        self.metrics.ticked(time.perf_counter() - began)

    def startup(self) -> None:
        """Start what asks and answers; the first turns bring the learner and v0."""
        self.health.start()
        self.mirror.start()
        self.jobs.start()
        log.info("daemon_started", policy=self.policy, epoch=self.lease.epoch)

    def shutdown(self, deadline: Deadline) -> None:
        """Stop consuming, stop the learner, flush, and let go, all before the deadline."""
        notify("STOPPING=1")
        self.jobs.stop()
        in_order = self.training.child.stop(deadline.left / 2)
        assert self.ingest.source is not None, "a daemon has a source"
        self.ingest.source.close()
        self.sink.close()
        # Half of what is left: a server that is away must not cost the rest its time.
        left = self.mirror.close(min(10.0, deadline.left / 2))
        self.health.stop()
        with contextlib.suppress(LeaseLost, ConnectionError):
            # Another's by now, or the server is away: there is nothing to let go of.
            release_lease(self.store, self.lease)
        self.store.close()
        log.info("daemon_stopped", learner_in_order=in_order, mirror_left=left)

    def _keep_lease(self, now: float) -> None:
        if now - self._renewed >= RENEW_SECONDS:
            with self.store.transaction() as tx:
                renew_lease(tx, self.lease, now)
            self._renewed = now

    def _do(self, intent: Intent, now: float) -> None:
        match intent:
            case Intent.EXPIRE:
                self.ingest.expire(now, self.retention_days)
            case Intent.CLOSE_HORIZONS:
                self.ingest.close_horizons(now)
            case Intent.RECONCILE_ENGINE:
                self.release.reconcile(now)
            case Intent.FORWARD_DEAD_LETTERS:
                self._forward()
            case Intent.MEASURE:
                self._measure()
            case Intent.MIRROR:
                self._mirror(now)

    def _forward(self) -> None:
        try:
            self.ingest.forward_dead_letters(self.sink, self.dead_letter_topic)
        except (ConnectionError, TimeoutError) as problem:
            log.warning("dead_letters_wait", problem=str(problem))

    def _measure(self) -> None:
        with self.store.reading() as view:
            self.metrics.fates(count_fates(view, self.policy))
        self.metrics.state(
            learner_up=self.training.child.alive,
            champion=self._champion,
            pending=self.mirror.pending,
            dropped=self.mirror.dropped,
        )

    def _mirror(self, now: float) -> None:
        with self.store.reading() as view:
            counts = count_fates(view, self.policy)
        values = {f"fates/{fate.replace(':', '_')}": float(n) for fate, n in counts.items()}
        self.mirror.metrics("parent", int(now), values, now)

    def _tell(self) -> None:
        self.vitals.ticked_at = time.monotonic()
        self.vitals.live = {
            "learner": self.training.state,
            "learner_up": self.training.child.alive,
            "learner_pid": self.training.child.pid,
            "rollout": self.release.moves.stage,
            "champion": self._champion,
            "epoch": self.lease.epoch,
            "delivered": self.ingest.delivered,
        }
        self.vitals.report("log", self.ingest.problem)
        self.vitals.report("database", self.away or self.ingest.away)
        self.vitals.report("engine", self.release.fleet.problem)
        self.vitals.report("learner", None if self.training.head is not None else "starting")
        if not self._ready and not self.vitals.problems:
            self._ready = True
            log.info("daemon_ready", champion=self._champion)
            notify("READY=1")
        notify("WATCHDOG=1")
