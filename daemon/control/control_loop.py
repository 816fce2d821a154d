"""ControlLoop: the one daemon of a policy that learns and releases, under a lease."""

import contextlib
from collections.abc import Callable, KeysView
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from ...learner.ledger.learnable import unlearnable
from ...ops.benchmark.keeping import keep_benchmarks
from ...ops.experiments.conductor import Conductor
from ...ops.holdout.watch import HoldoutWatch
from ...ops.reading.settle import settle_readings
from ...ops.reading.worker import ReadingWorker
from ...ops.rollout.problems import PROBLEMS
from ...ops.rollout.release import Release
from ...ops.tool_errors.watch import ToolWatch
from ...ops.tracking.mirror import Mirror
from ...ops.tracking.reports import report_checkpoint
from ...streams.answers.session_turns import session_share
from ...streams.join.dead_letters import forward_dead_letters
from ...streams.log.ports import EventSink
from ...streams.readings.reading_tallies import describe_readings
from ...streams.rescore.rescore import Rescore
from ...streams.state.lease import Lease, LeaseLost, release_lease, renew_lease
from ...streams.state.transaction import Transaction
from ..status.answer_metrics import session_values
from ..status.reading_metrics import reading_values
from ..status.release_metrics import release_values, traffic_values, working_values
from ..status.tallies import Counting
from .gateway_watch import GatewayWatch
from .lifecycle import Deadline
from .loop import Consumer, DaemonLoop, StatusPages
from .own_command import OwnCommand
from .parent_watch import ParentWatch
from .timers import Intent, Timers
from .training import Training
from .triage_timer import TriageTimer

log = structlog.get_logger()

RENEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Where the control loop writes besides its own tables."""

    dead_letters: EventSink
    """Takes the records that were refused."""
    dead_letter_topic: str
    """Topic of what was refused."""
    mirror: Mirror
    """Carries to MLflow what happened."""
    benchmarks: Path
    """Folder of the benchmarks, which retention reaches too."""
    refresh: OwnCommand
    """Draws them anew."""
    triage: TriageTimer
    """Groups the problems of a week."""


class ControlLoop(DaemonLoop):
    """Adds to the shared loop: batches for the learner, releases of what it made, flags.

    Consumes also the learner's checkpoints. Raises LeaseLost where another daemon took over.
    """

    role = "control"

    def __init__(
        self,
        consumer: Consumer,
        pages: StatusPages,
        timers: Timers,
        *,
        lease: Lease,
        training: Training,
        rescore: Rescore,
        release: Release,
        holdout: HoldoutWatch,
        tools: ToolWatch,
        conductor: Conductor,
        outlets: Outlets,
        reading: ReadingWorker,
        gateways: GatewayWatch,
        parent: ParentWatch,
        retention_days: float,
        stop_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(consumer, pages, timers, clock=clock, stop_seconds=stop_seconds)
        self.lease, self.training, self.rescore, self.release = lease, training, rescore, release
        self.holdout, self.tools, self.conductor = holdout, tools, conductor
        self.outlets, self.mirror = outlets, outlets.mirror
        self.gateways, self.reading, self.parent = gateways, reading, parent
        self.retention_days = retention_days
        self._champion, self._renewed = "", 0.0
        self._unlearnable: str | None = None
        self._mirrored, self.counting = set[str](), Counting(self.policy)

    def run(self) -> None:
        """Turn until asked to stop, then leave nothing half done."""
        try:
            super().run()
        except LeaseLost:
            log.error("lease_lost", epoch=self.lease.epoch)
            raise

    def tick(self, now: float) -> None:
        """Turn once."""
        try:
            super().tick(now)
        except LeaseLost:
            # Whoever took over starts its own learner; ours must not write another line.
            self.training.child.stop(0.0)
            raise

    def startup(self) -> None:
        """Start what asks and answers; the first turns bring the learner and v0."""
        self.mirror.start()
        self.gateways.start()
        self.reading.start()
        super().startup()

    def prepare(self, now: float) -> None:
        """Hold the lease."""
        if now - self._renewed >= RENEW_SECONDS:
            with self.store.transaction() as tx:
                renew_lease(tx, self.lease, now)
            self._renewed = now

    def work(self, now: float) -> None:
        """Learn from what was taken in, and let out what was learned."""
        self.rescore.step(now)
        finished = self.training.step(now, self.release.standing)
        # Before the release speaks of them: MLflow refuses an alias to what it never heard of.
        for manifest in finished:
            report_checkpoint(self.mirror, manifest, self.training.checkpoints)
        if self.gateways.listen(now):
            self.release.publisher.rewrite()
        self.release.step(now)
        self.conductor.step(now)

    def do(self, intent: Intent, now: float) -> None:
        """Do what a timer asked for."""
        match intent:
            case Intent.EXPIRE:
                self.ingest.expire(now, self.retention_days)
                keep_benchmarks(self.store, self.policy, self.outlets.benchmarks, now)
            case Intent.RECONCILE_ENGINE:
                self.release.reconcile(now)
            case Intent.REFRESH:
                self.outlets.refresh.look()
            case Intent.TRIAGE:
                self.outlets.triage.look(now)
            case Intent.PARENT:
                self.parent.look()
            case Intent.HOLDOUT:
                self.holdout.look(now)
            case Intent.TOOLS:
                self.tools.look()
            case Intent.READ:
                settle_readings(self.store, self.policy, self.reading, now)
            case Intent.RETRAIN:
                self.reading.train_soon()
            case Intent.FORWARD_DEAD_LETTERS:
                self._forward()
            case Intent.MIRROR:
                self.mirror.settle()
            case _:
                super().do(intent, now)

    def measure(self, asked: KeysView[Intent], view: Transaction, now: float) -> None:
        """Show what the tables say, and what goes on around the loop; mirror it when it is time."""
        super().measure(asked, view, now)
        seen = self.counting.tallies(view, now)
        reach = self.gateways.measure(view)
        read = describe_readings(view, self.policy, now)
        self.metrics.show(
            seen.shown(),
            reading_values(read["all"], read["waiting"]),
            working_values(self.training.child, self.release.fleet, reach, self.mirror),
            traffic_values(self.training.child, self.gateways.making_way.p95),
        )
        if Intent.MIRROR in asked:
            self._unlearnable = unlearnable(view, self.policy)
            self.metrics.show(
                release_values(view, self.policy), session_values(session_share(view, self.policy))
            )
            values = {
                f"fates/{name.replace(':', '_')}": float(n)
                for name, n in seen.answers.fates.items()
            }
            # A fate that is gone is at 0, and not at its last value for ever.
            values |= dict.fromkeys(self._mirrored - values.keys(), 0.0)
            self._mirrored = set(values)
            self.mirror.metrics("parent", int(now), values, now)

    def names(self) -> dict[str, Any]:
        """Return the lease's epoch."""
        return {"epoch": self.lease.epoch}

    def facts(self) -> dict[str, Any]:
        """Return what learner and release are at."""
        self._champion = self.release.champion_version()
        return {
            "learner": self.training.child.yields or self.training.state,
            "traffic_p95_seconds": self.gateways.making_way.p95,
            "learner_up": self.training.child.alive,
            "learner_pid": self.training.child.pid,
            "rollout": self.release.moves.stage,
            "reader": self.reading.facts(),
            "champion": self._champion,
            "reward_spec": self.rescore.version,
            "rescoring": self.rescore.told(),
        }

    def problems(self) -> dict[str, str | None]:
        """Return what keeps the daemon from being ready, by dependency; None where it works."""
        found = {
            **super().problems(),
            "engine": self.release.fleet.problem,
            "answers": self._unlearnable,
            **{name: self.release.problems.get(name) for name in PROBLEMS},
            "flags": self.release.publisher.problem,
            "gateways": self.gateways.problem(),
            "reader": self.reading.problem,
            "triage": self.outlets.triage.problem,
            "parent": self.parent.problem,
            "drift_budget": self.training.held or None,
            "learner": self.training.child.problem(self.training.head is not None),
        }
        # Who gathers first answers has nothing to serve yet, and nobody waits for it.
        return found | dict.fromkeys(("engine", "learner") if self.training.gathers else ())

    def stop_work(self, deadline: Deadline) -> dict[str, Any]:
        """Stop the learner, flush, and give the lease back."""
        self.reading.stop()
        self.outlets.refresh.stop()
        self.outlets.triage.stop()
        in_order = self.training.child.stop(deadline.left / 2)
        self.outlets.dead_letters.close()
        # Half of what is left: a server that is away must not cost the rest its time.
        left = self.mirror.close(min(10.0, deadline.left / 2))
        with contextlib.suppress(LeaseLost, ConnectionError):
            self.mirror.settle()
            # Another's by now, or the server is away: there is nothing to let go of.
            release_lease(self.store, self.lease)
        return {"learner_in_order": in_order, "mirror_left": left}

    def _forward(self) -> None:
        try:
            forward_dead_letters(
                self.store, self.policy, self.outlets.dead_letters, self.outlets.dead_letter_topic
            )
        except (ConnectionError, TimeoutError) as problem:
            log.warning("dead_letters_wait", problem=str(problem))
