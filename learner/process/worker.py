"""Worker: carries out the daemon's commands on a learner and its checkpoint folder."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog
import torch

from ..candidate import Manifest
from ..checkpoint.folder import (
    newest_valid,
    problem_of,
    sequences,
)
from ..checkpoint.write import Checkpoints, Origin
from ..ranks.group import ALONE, Ranks
from ..ranks.other_ranks import threads_of_each
from ..sealed import SealedBatch
from ..service.service_learner import ServiceLearner
from ..settings import LearnerProcessSettings
from ..staying.learning import Learning
from ..train.packing import read_batch
from ..train.state import Learner
from ..train.steps import BatchGivenUp
from .known import known_answer
from .learning_of import first_origin, learning_of
from .protocol import (
    Apply,
    BatchFailed,
    Checkpointed,
    Command,
    Prune,
    Pruned,
    RollBackTo,
    Skip,
    StepsDone,
)
from .traffic import Traffic

log = structlog.get_logger()


class Worker:
    """One learner at the head of its lineage; the caller holds the folder's lock.

    With several ranks each has one and carries out the same commands; rank 0's alone writes. A rank reads
    the folder before the pass or the gathering of weights that the next checkpoint waits for, so that
    all read the same.
    """

    def __init__(
        self,
        settings: LearnerProcessSettings,
        ranks: Ranks = ALONE,
        waiting: Callable[[str], None] = lambda _: None,
        traffic: Traffic | None = None,
    ) -> None:
        """`waiting` is told why a training service is waited for, and an empty text once it is not."""
        if threads := threads_of_each(settings.learner):
            torch.set_num_threads(threads)
        self.settings, self.folder = settings, Path(settings.folder)
        self.checkpoints = Checkpoints(
            self.folder, policy=settings.policy, lease_epoch=settings.lease_epoch
        )
        self.traffic = traffic or Traffic(settings.learner.yielding)
        self.learning = learning_of(settings, ranks, waiting, self.traffic)
        self.head: Manifest = self._start()

    @property
    def learner(self) -> Learner:
        """Our own learner; where a training service has the weights there is none."""
        assert isinstance(self.learning, Learning), "the weights are at a training service"
        return self.learning.learner

    @property
    def taught(self) -> Learner | ServiceLearner:
        """Who has the weights, for checkpoints."""
        return self.learning if isinstance(self.learning, ServiceLearner) else self.learner

    def run(
        self, command: Command, progress: Callable[[StepsDone], None]
    ) -> Checkpointed | BatchFailed | Pruned:
        """Carry out one command and say what is durable now.

        Raises ValueError where a file or a checkpoint that the command names is not there, and
        StaleEpoch where a daemon with a later lease owns the folder.
        """
        ranks = self.taught.ranks
        if ranks.writes and (problem := problem_of(self.folder, self.head)):
            # What is learned from must be what a restart finds, by then with today's quarantine.
            raise ValueError(f"the newest checkpoint is damaged: {problem}")
        done = self._carried_out(command, progress)
        ranks.all(True)  # The daemon may take away what all have read, and not before.
        return done

    def _carried_out(
        self, command: Command, progress: Callable[[StepsDone], None]
    ) -> Checkpointed | BatchFailed | Pruned:
        match command:
            case Apply(path=path):
                return self.apply(Path(path), progress)
            case Skip(path=path, reason=reason):
                return self.skip(Path(path), reason)
            case RollBackTo(to_sequence=to_sequence):
                return self.roll_back(to_sequence)
            case Prune(sequences=sequences):
                return self.prune(sequences)

    def apply(
        self, path: Path, progress: Callable[[StepsDone], None] = lambda _: None
    ) -> Checkpointed | BatchFailed:
        """Update with a sealed batch, unless the lineage knows it already."""
        batch = read_batch(path)
        if known := known_answer(self.folder, self.head, batch.batch_id):
            return known
        self._check_fits(path, batch)
        started = time.monotonic()
        self.traffic.begin_batch()
        try:
            update = self.learning.apply(
                batch,
                lambda done, of: progress(StepsDone(batch_id=batch.batch_id, done=done, of=of)),
            )
        except BatchGivenUp as problem:
            return self._give_up(batch.batch_id, batch, str(problem), problem.left_out)
        head = self._write(
            Origin(
                parent_sequence=self.head.sequence,
                applied=(*self.head.applied, batch.batch_id),
                skipped=self.head.skipped,
                reverted=self.head.reverted,
                batch_id=batch.batch_id,
                batch=batch,
                left_out=update.left_out,
                held_out=update.held_out,
                preference=update.preference,
                probe=update.probe,
                metrics=update.metrics | self.traffic.metrics(),
                seconds=time.monotonic() - started,
            )
        )
        return Checkpointed(sequence=head.sequence, version=head.version)

    def skip(self, path: Path, reason: str) -> Checkpointed | BatchFailed:
        """Give a batch up without trying it, even where its file cannot be read."""
        batch = None
        with contextlib.suppress(ValueError):
            batch = read_batch(path)
        batch_id = batch.batch_id if batch else int(path.stem)
        known = known_answer(self.folder, self.head, batch_id)
        return known or self._give_up(batch_id, batch, reason)

    def roll_back(self, to_sequence: int) -> Checkpointed:
        """Take up an earlier checkpoint's state in a new checkpoint.

        Batches applied since then become `reverted`. It writes one even where it stands there
        already: the checkpoint is what shows that it came back. Where the target is damaged it goes
        to the last whole one before.
        """
        if to_sequence not in sequences(self.folder):
            raise ValueError(f"{self.folder}: there is no checkpoint {to_sequence}")
        target = newest_valid(self.folder, self.settings.quarantined, up_to=to_sequence)
        if target is None:
            raise ValueError(f"{self.folder}: no checkpoint up to {to_sequence} is whole")
        if target.sequence != to_sequence:
            log.error("checkpoint_damaged", sequence=to_sequence, back_to=target.sequence)
        self.head = self._return_to(target, self.head)
        return Checkpointed(sequence=self.head.sequence, version=self.head.version)

    def prune(self, sequences: Sequence[int]) -> Pruned:
        """Keep only the manifests of these checkpoints; raises ValueError for the newest."""
        if self.head.sequence in sequences:
            raise ValueError(f"checkpoint {self.head.sequence} is the newest, and is not pruned")
        if isinstance(self.learning, ServiceLearner):
            self.learning.forget(sequences)
        gone = self.checkpoints.prune(sequences) if self.taught.ranks.writes else []
        log.info("checkpoints_pruned", sequences=gone)
        return Pruned(sequences=tuple(gone))

    def _start(self) -> Manifest:
        """Restore the newest valid checkpoint, or make the first one."""
        if self.taught.ranks.writes:
            self.checkpoints.sweep()
        newest = newest_valid(self.folder)
        if newest is None and sequences(self.folder):
            raise ValueError(f"{self.folder}: it holds checkpoints, but every one is damaged")
        if newest is None:
            return self._write(first_origin(self.learning, self.settings))
        good = newest_valid(self.folder, self.settings.quarantined)
        if good is None:
            raise ValueError(f"{self.folder}: every chain holds a quarantined version")
        if good.sequence != newest.sequence:
            log.warning("checkpoint_quarantined", sequence=newest.sequence, back_to=good.sequence)
            return self._return_to(good, newest)
        self.checkpoints.load(self.taught, newest)
        return newest

    def _return_to(self, target: Manifest, head: Manifest) -> Manifest:
        self.checkpoints.load(self.taught, target)
        # The average would lead back to where the rollback comes from.
        self.taught.stand_on_offered()
        undone = {*head.applied} - {*target.applied}
        return self._write(
            Origin(
                parent_sequence=target.sequence,
                version=target.version,
                applied=target.applied,
                skipped=tuple(sorted({*head.skipped, *target.skipped})),
                reverted=tuple(sorted({*head.reverted, *target.reverted, *undone})),
                probe=target.probe,
                metrics={},
            )
        )

    def _give_up(
        self,
        batch_id: int,
        batch: SealedBatch | None,
        reason: str,
        left_out: Mapping[str, str] | None = None,
    ) -> BatchFailed:
        log.warning("batch_given_up", batch_id=batch_id, reason=reason)
        head = self._write(
            Origin(
                parent_sequence=self.head.sequence,
                version=self.head.version,
                applied=self.head.applied,
                skipped=(*self.head.skipped, batch_id),
                reverted=self.head.reverted,
                batch_id=batch_id,
                batch=batch,
                left_out=left_out or {},
                probe=self.head.probe,
                metrics={},
            )
        )
        fault = batch is None or not {e.generation_id for e in batch.episodes} <= set(
            left_out or {}
        )
        return BatchFailed(batch_id=batch_id, reason=reason, sequence=head.sequence, fault=fault)

    def _check_fits(self, path: Path, batch: SealedBatch) -> None:
        if batch.policy != self.settings.policy:
            raise ValueError(f"{path}: $.policy is {batch.policy}, not {self.settings.policy}")
        if batch.parent_sequence != self.head.sequence:
            # After a checkpoint was lost to corruption: the batch is applied all the same.
            log.warning(
                "batch_of_another_checkpoint",
                batch_id=batch.batch_id,
                sealed_on=batch.parent_sequence,
                applied_to=self.head.sequence,
            )

    def _write(self, origin: Origin) -> Manifest:
        self.head = self.checkpoints.write(self.taught, origin, now=time.time())
        if self.taught.ranks.writes:
            log.info("checkpoint_durable", sequence=self.head.sequence, version=self.head.version)
        return self.head
