"""Training: seals batches when the learner asks, and writes down what it finished."""

from collections.abc import Callable
from pathlib import Path

import structlog

from ...learner.candidate import Manifest
from ...learner.checkpoint.folder import whole_checkpoints
from ...learner.ledger.batch_settings import BatchSettings
from ...learner.ledger.batches_table import (
    count_death,
    forget_contents,
    pending_batch,
    sweep_files,
    write_batch,
)
from ...learner.ledger.checkpoints_table import record_checkpoints, reopen_lost
from ...learner.ledger.lane_choice import RATIO_ONLY, LaneRules
from ...learner.ledger.lineage import Lineage
from ...learner.ledger.ready import waits_for
from ...learner.ledger.seal import seal
from ...learner.ledger.token_credits import Credit, whole_answer
from ...learner.ledger.weighed import Trust
from ...learner.process import protocol
from ...learner.process.protocol import (
    Apply,
    Asking,
    BatchFailed,
    Command,
    LearnerReady,
    Prune,
    Report,
    RollBackTo,
    Skip,
)
from ...learner.process.supervisor import LearnerSupervisor
from ...learner.sealed import SealedBatch
from ...ops.drift.drift_budget import day_drift
from ...ops.rollout import candidates_table
from ...ops.rollout.snapshot import LearnerStanding
from ...streams.rescore.rescorings_table import attribution_stands
from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from .checkpoint_reading import CheckpointReading

log = structlog.get_logger()

Register = Callable[[Transaction, Manifest, float], None]
"""Writes the other tables' rows of a new checkpoint, in the transaction that records it."""

Kept = Callable[[Transaction, float], set[int]]
"""Returns the checkpoints that something still names."""

DEATHS_ALLOWED = 3
"""Deaths of the learner on one batch after which it is given up (CONTRACTS 18)."""


class Training:
    """The learner's side of the loop: one command at a time, and the manifests as the truth."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: BatchSettings,
        trust: Trust,
        child: LearnerSupervisor,
        *,
        batches: Path,
        checkpoints: Path,
        register: Register,
        kept: Kept,
        keep_newest: int,
        credit: Credit = whole_answer,
        spec_version: str | None = None,
        lanes: LaneRules = RATIO_ONLY,
        sealed: Callable[[SealedBatch, float], None] = lambda batch, now: None,
        begins: Callable[[float], str] = lambda now: "",
    ) -> None:
        self.store, self.policy, self.settings, self.child = store, policy, settings, child
        self.trust, self.begins, self.gathers = trust, begins, ""
        self.batches, self.checkpoints, self.register = batches, checkpoints, register
        self.kept, self.keep_newest, self.credit = kept, keep_newest, credit
        self.spec_version, self.lanes, self.sealed = spec_version, lanes, sealed
        self.lineage, self._prune_due = Lineage(()), False
        self.reading = CheckpointReading(checkpoints, child.settings.learner)
        self.head: int | None = None
        self.state = "starting"
        self.held = ""
        """Why no version is made, though there may be a batch; empty where one may be."""
        self._asking = False
        self._working_on: int | None = None
        self._died_on: int | None = None
        self._finished: list[Manifest] = []

    def step(self, now: float, standing: Callable[[], LearnerStanding]) -> list[Manifest]:
        """Keep the learner alive and busy; return the checkpoints that it finished.

        `standing` returns whether the learner may go on, and from where; it is asked when that is idle.
        Raises ConnectionError where the database is away; the next step goes on from there.
        """
        self._tend(now)
        for report in self.child.reports():
            self._hear(report)
        self._take_finished(now)
        self.state = self.gathers or self.state
        if self._asking and not self.reading.settled:
            self.state = "reading the newest checkpoint"
        idle = self._asking and self.head is not None and self.reading.settled
        if idle and (command := self._next(now, standing())) is not None:
            self._asking = False
            self.child.send(command)
        finished, self._finished = self._finished, []
        return finished

    def _tend(self, now: float) -> None:
        if self.child.reap(now):
            self._asking, self.state = False, "dead"
            self.reading.look_again()
            self._died_on, self._working_on = self.child.blamed(self._working_on), None
        if self._died_on is not None:
            with self.store.transaction() as tx:
                count_death(tx, self.policy, self._died_on)
            self._died_on = None
        self.gathers = "" if self.child.alive else self.begins(now)
        if self.gathers:
            return
        if not self.child.alive:
            # A version may have been refused since the last learner started.
            with self.store.reading() as view:
                self.child.refuse(candidates_table.quarantined(view, self.policy))
        self.child.ensure(now)

    def _hear(self, report: Report) -> None:
        match report:
            case Asking():
                self._asking, self._working_on, self.state = True, None, "asking"
            case protocol.StepsDone(done=done, of=of):
                self.state = f"step {done} of {of}"
                return
            case protocol.Waiting(reason=reason):
                self.state = reason or "learning"
                return
            case LearnerReady(version=version):
                log.info("learner_ready", version=version)
            case BatchFailed(batch_id=batch_id, reason=reason, fault=fault):
                (log.error if fault else log.warning)(
                    "batch_failed" if fault else "batch_skipped", batch_id=batch_id, reason=reason
                )
        self.reading.look_again()

    def _take_finished(self, now: float) -> None:
        if (found := self.reading.finished()) is None:
            return
        manifests, newest = found
        self.head = newest.sequence if newest else None
        if newest is not None and newest.parent_sequence is not None:
            crash_here(CrashPoint.RETURNED if newest.batch_id is None else CrashPoint.APPLIED)
        with self.store.transaction() as tx:
            finished = record_checkpoints(tx, self.policy, manifests)
            lost = reopen_lost(tx, self.policy, newest) if newest else []
            for manifest in finished:
                self.register(tx, manifest, now)
        self.lineage.add(manifests)
        self.reading.taken()
        self._prune_due = self._prune_due or bool(manifests)
        self._finished += finished
        if lost:
            log.error("checkpoint_lost", batches=lost, head=self.head)

    def _next(self, now: float, standing: LearnerStanding) -> Command | None:
        """Return what the idle learner is to do: go back, prune, learn; None where it has to wait."""
        assert self.head is not None, "a learner that asks has a checkpoint"
        if standing.back_to is not None:
            return RollBackTo(to_sequence=standing.back_to)
        if self._prune_due and (gone := self._release_checkpoints(now)):
            return Prune(sequences=tuple(gone))
        if self._over_budget(now):
            self.state = "waiting for the drift budget"
            return None
        with self.store.transaction() as tx:
            batch = pending_batch(tx, self.policy)
            lead = self._lead(standing, self.head)
            if batch is None and lead is not None and lead >= self.settings.max_lead:
                self.state = "waiting for the rollout"
                return None
            if batch is None and lead is not None and self._attributed(tx):
                self._seal(tx, self.head, now)
                batch = pending_batch(tx, self.policy)
            if batch is None:
                engines = "waiting for the engines" if lead is None and self.head > 0 else ""
                self.state = engines or waits_for(tx, self.policy, self.settings)
                return None
        crash_here(CrashPoint.SEALED)
        return self._give(*batch)

    def _lead(self, standing: LearnerStanding, head: int) -> int | None:
        """Return how many versions the learner is ahead of the champion; None where it may not learn.

        More than wait for a decision, where one of them ran out of time and the next is tried.
        """
        if standing.undecided is None:
            return None
        return max(standing.undecided, self.lineage.age(standing.champion, head) or 0)

    def _over_budget(self, now: float) -> bool:
        """Return whether a day's versions have used up what they may drift together."""
        budget, was = self.child.settings.learner.drift.day_kl, self.held
        self.held = ""
        if budget:
            with self.store.reading() as view:
                self.held = day_drift(view, self.policy, budget, now).held(now)
        if self.held and not was:
            log.warning("versions_held", problem=self.held)
        return bool(self.held)

    def _attributed(self, tx: Transaction) -> bool:
        """Return whether feedback on chains reaches what it does by the spec that batches are of."""
        return self.spec_version is None or attribution_stands(tx, self.policy, self.spec_version)

    def _seal(self, tx: Transaction, head: int, now: float) -> None:
        batch = seal(
            tx,
            self.policy,
            self.settings,
            parent_sequence=head,
            max_policy_age=self.child.settings.learner.max_policy_age,
            age=lambda version: self.lineage.age(version, head),
            now=now,
            credit=self.credit,
            spec_version=self.spec_version,
            trust=self.trust,
            lanes=self.lanes,
        )
        if batch is not None:
            self.sealed(batch, now)

    def _give(self, batch_id: int, content: bytes, deaths: int) -> Command:
        """Write the batch's file and return the command that names it."""
        path = write_batch(self.batches, batch_id, content)
        self._working_on, self.state = batch_id, "learning"
        if deaths >= DEATHS_ALLOWED:
            return Skip(path=str(path), reason=f"the learner died {deaths} times on it")
        return Apply(path=str(path))

    def _release_checkpoints(self, now: float) -> list[int]:
        """Mark as pruned, in the tables, the checkpoints that nothing names; return them."""
        spare = whole_checkpoints(self.checkpoints)[: -self.keep_newest]
        with self.store.transaction() as tx:
            kept = self.kept(tx, now)
            gone = [sequence for sequence in spare if sequence not in kept]
            # First here: a version that the tables call whole must be whole.
            candidates_table.mark_pruned(tx, self.policy, gone)
            forget_contents(tx, self.policy, gone)
            waiting = pending_batch(tx, self.policy)
        sweep_files(self.batches, [] if waiting is None else [waiting[0]])
        self._prune_due = False
        return gone
