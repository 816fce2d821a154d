"""Rebuilder: a chain with all that a lineage may hold is made again, byte for byte, and only what is is called equal."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifest
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.process.protocol import BatchFailed
from rlwd.learner.process.worker import Worker
from rlwd.learner.rebuild.rebuild_plan import BASE, plan_rebuild
from rlwd.learner.rebuild.rebuilder import Rebuilder
from rlwd.learner.sealed import Correction, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings

MakeBatch = Callable[..., SealedBatch]


def mixed(make_batch: MakeBatch, number: int) -> SealedBatch:
    """A batch for every lane, with both kinds of evidence."""
    batch = make_batch(number, episodes=8, held_out=10)

    def without_ratio(n: int, one: SealedEpisode) -> SealedEpisode:
        return msgspec.structs.replace(
            one, logprobs=(), temperature=0.0, reward=float(n % 2), lane="kto", person=n + 1
        )

    held = [without_ratio(n, one) for n, one in enumerate(batch.held_out[2:])]
    taught = [
        msgspec.structs.replace(one, generation_id=f"k{one.generation_id}", person=0)
        for one in held
    ]
    edit = Correction(text="better", first=0, past=1)
    edited = msgspec.structs.replace(
        batch.episodes[0], lane="ratio+dpo+hindsight", correction=edit, follow_up="no, shorter"
    )
    return msgspec.structs.replace(
        batch,
        episodes=(edited, *batch.episodes[1:], *taught),
        held_out=(*batch.held_out[:2], *held),
    )


def flat(make_batch: MakeBatch, number: int) -> SealedBatch:
    """A batch that says nothing."""
    batch = make_batch(number, episodes=4, held_out=0)
    same = [msgspec.structs.replace(one, reward=1.0) for one in batch.episodes]
    return msgspec.structs.replace(batch, episodes=tuple(same))


def test_a_chain_of_everything(
    child_settings: LearnerProcessSettings,
    make_batch: MakeBatch,
    sealed: Callable[[SealedBatch], Path],
    tmp_path: Path,
) -> None:
    """Averages, lanes, evidence of both kinds, a batch that was given up, a rollback, settings that were changed
    in between."""
    first = msgspec.structs.replace(
        child_settings.learner, average=0.5, passes=1, lanes=LaneSettings(sft=0.1, hindsight=0.2)
    )
    then = msgspec.structs.replace(first, average=0.0, trust_region="total_variation")
    batches = {n: (flat if n == 2 else mixed)(make_batch, n) for n in range(1, 5)}
    worker = Worker(msgspec.structs.replace(child_settings, learner=first))
    worker.apply(sealed(batches[1]))
    assert isinstance(worker.apply(sealed(batches[2])), BatchFailed)
    worker.apply(sealed(batches[3]))
    worker.roll_back(1)
    worker = Worker(msgspec.structs.replace(child_settings, learner=then))
    worker.apply(sealed(batches[4]))
    folder, target = Path(child_settings.folder), worker.head
    assert target.preference is not None
    assert target.held_out is not None
    plan = plan_rebuild(folder, "policy", target.version, BASE)
    assert plan.steps == (0, 1, 4, 5)
    made = Rebuilder(folder, tmp_path / "out", "policy", then).run(plan, applied_in(batches))
    assert [one.likeness.differences for one in made] == [()] * 4
    again = read_manifest(tmp_path / "out", target.sequence)
    assert (again.version, again.metrics) == (target.version, target.metrics)


def applied_in(batches: Mapping[int, SealedBatch]) -> Callable[[Manifest], SealedBatch]:
    """Return what finds the batch of a manifest."""
    return lambda manifest: batches[manifest.batch_id or 0]
