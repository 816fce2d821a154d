"""Training: seals batches when the learner asks, and writes down what it finished."""

from collections.abc import Callable
from pathlib import Path

import structlog

from ..learner import protocol
from ..learner.candidate import Manifest
from ..learner.manifest import newest_valid, read_manifests
from ..learner.protocol import Apply, Asking, BatchFailed, Command, Ready, Report, Rollback, Skip
from ..streams.store import Store
from ..streams.transaction import Transaction
from .applied import record_checkpoints, reopen_lost
from .child import LearnerChild
from .instants import Instant, reach
from .lineage import Lineage
from .sealing import BatchSettings, count_death, pending_batch, seal, write_batch

log = structlog.get_logger()

Register = Callable[[Transaction, Manifest, float], None]
"""What else is to be written down of a new checkpoint, in the transaction that records it."""

DEATHS_ALLOWED = 3
"""A batch on which the learner died so often is given up (CONTRACTS 18)."""


class Training:
    """The learner's side of the loop: one command at a time, and the manifests as the truth."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: BatchSettings,
        child: LearnerChild,
        *,
        batches: Path,
        checkpoints: Path,
        register: Register,
    ) -> None:
        self.store, self.policy, self.settings, self.child = store, policy, settings, child
        self.batches, self.checkpoints, self.register = batches, checkpoints, register
        self.lineage = Lineage(())
        self.head: int | None = None
        self.state = "starting"
        self._stale = True
        self._asking = False
        self._working_on: int | None = None

    def step(
        self, now: float, undecided: Callable[[], int | None], back_to: Callable[[], int | None]
    ) -> list[Manifest]:
        """Keep the learner alive and busy; return the checkpoints that it finished.

        `undecided` is how many versions wait for their decision, None before there is v0; `back_to`
        the checkpoint that the learner must return to because what it made was refused for cause.
        """
        self._tend(now)
        for report in self.child.reports():
            self._hear(report)
        finished = self._take_finished(now)
        if self._asking and self.head is not None:
            command = self._next(now, undecided(), back_to())
            if command is not None:
                self._asking = False
                self.child.send(command)
        return finished

    def _tend(self, now: float) -> None:
        if self.child.reap(now):
            self._asking, self.state = False, "dead"
            if self._working_on is not None:
                with self.store.transaction() as tx:
                    count_death(tx, self.policy, self._working_on)
                self._working_on = None
        self.child.ensure(now)

    def _hear(self, report: Report) -> None:
        match report:
            case Asking():
                self._asking, self._working_on, self.state = True, None, "asking"
            case protocol.Progress(done=done, of=of):
                self.state = f"step {done} of {of}"
                return
            case Ready(version=version):
                log.info("learner_ready", version=version)
            case BatchFailed(batch_id=batch_id, reason=reason):
                log.error("batch_failed", batch_id=batch_id, reason=reason)
            case _:
                pass
        self._stale = True

    def _take_finished(self, now: float) -> list[Manifest]:
        if not self._stale:
            return []
        self._stale = False
        manifests = read_manifests(self.checkpoints)
        self.lineage = Lineage(manifests)
        newest = newest_valid(self.checkpoints)
        self.head = newest.sequence if newest else None
        if newest is not None and newest.batch_id is not None:
            reach(Instant.APPLIED)
        with self.store.transaction() as tx:
            finished = record_checkpoints(tx, self.policy, manifests)
            lost = reopen_lost(tx, self.policy, newest) if newest else []
            for manifest in finished:
                self.register(tx, manifest, now)
        if lost:
            log.error("checkpoint_lost", batches=lost, head=self.head)
        return finished

    def _next(self, now: float, undecided: int | None, back_to: int | None) -> Command | None:
        assert self.head is not None, "a learner that asks has a checkpoint"
        if back_to is not None and self.lineage.updates(self.head) != self.lineage.updates(back_to):
            return Rollback(to_sequence=back_to)
        with self.store.transaction() as tx:
            waiting = pending_batch(tx, self.policy)
            if waiting is None and undecided is not None:
                # Not the distance to the champion: a version that only ran out of time is
                # superseded by its child, which then has to be made (CONTRACTS 19).
                if undecided >= self.settings.max_lead:
                    self.state = "waiting for the rollout"
                    return None
                head = self.head
                seal(
                    tx,
                    self.policy,
                    self.settings,
                    parent_sequence=head,
                    max_policy_age=self.child.settings.learner.max_policy_age,
                    age=lambda version: self.lineage.age(version, head),
                    now=now,
                )
                waiting = pending_batch(tx, self.policy)
        if waiting is None:
            self.state = "waiting for episodes"
            return None
        batch_id, content, deaths = waiting
        reach(Instant.SEALED)
        path = write_batch(self.batches, batch_id, content)
        self._working_on, self.state = batch_id, "learning"
        if deaths >= DEATHS_ALLOWED:
            return Skip(path=str(path), reason=f"the learner died {deaths} times on it")
        return Apply(path=str(path))
