"""Checkpoints: exact, whole or absent, and never written under a lost lease.

Semantics locked here: the newest valid one wins; a damaged one is passed over and its number never
used again; a rollback is a new checkpoint; a quarantined chain is left; a reverted batch stays so.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rlwd.learner.checkpoint import epoch
from rlwd.learner.checkpoint.epoch import read_epoch, write_epoch
from rlwd.learner.checkpoint.folder import (
    MANIFEST_FILES,
    candidate_of,
    newest_valid,
    problem_of,
    read_manifest,
    read_manifests,
    sequences,
)
from rlwd.learner.checkpoint.write import StaleEpoch
from rlwd.learner.process.protocol import Apply, BatchFailed, Checkpointed, Prune, Pruned
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch, batch_hash
from rlwd.learner.settings import LearnerProcessSettings

MakeBatch = Callable[..., SealedBatch]
Sealed = Callable[[SealedBatch], Path]


@pytest.fixture
def folder(child_settings: LearnerProcessSettings) -> Path:
    return Path(child_settings.folder)


def after_three_batches(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed
) -> Worker:
    """Return a learner at checkpoint 3, each of which applied the batch of its number."""
    worker = Worker(child_settings)
    for number in (1, 2, 3):
        worker.apply(sealed(make_batch(number, parent=number - 1)))
    return worker


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def test_manifest_says_it_all(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """The first checkpoint is a zero adapter; the next one names its batch, parent and lease."""
    worker = Worker(child_settings)
    batch = make_batch(7)
    made = worker.apply(sealed(batch))
    first, second = read_manifests(folder)
    assert (first.sequence, first.parent_sequence, first.batch_id) == (0, None, None)
    assert made == Checkpointed(sequence=1, version=second.version)
    assert second == worker.head
    assert (second.parent_sequence, second.applied, second.batch_id) == (0, (7,), 7)
    assert second.batch_hash == batch_hash(batch)
    assert second.episode_ids == tuple(e.generation_id for e in batch.episodes)
    assert second.held_out_ids == tuple(e.generation_id for e in batch.held_out)
    assert (second.offsets, second.lease_epoch) == ({"rlwd.feedback/0": 17}, 3)
    assert second.version == f"policy@v000001-{second.digest[:8]}"
    assert problem_of(folder, second) is None
    candidate = candidate_of(folder, second)
    assert candidate.path.name == second.version
    assert second.base == "tiny (qwen3, float32, 260 tokens)"
    assert candidate.base == f"{second.base}, digest {second.base_digest[:12]}"
    assert {p.name for p in candidate.path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert not list(folder.glob(".new-*"))


def test_resume_is_exact(
    child_settings: LearnerProcessSettings, tmp_path: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A learner restored from disk goes on bit for bit as the one that never stopped."""
    elsewhere = msgspec.structs.replace(child_settings, folder=str(tmp_path / "elsewhere"))
    steady, first = Worker(elsewhere), Worker(child_settings)
    for worker in (steady, first):
        worker.apply(sealed(make_batch(1)))
    restored = Worker(child_settings)
    for worker in (steady, restored):
        worker.apply(sealed(make_batch(2, parent=1)))
    assert steady.head.files == restored.head.files
    assert steady.head.metrics == restored.head.metrics
    assert steady.head.digest == restored.head.digest


@pytest.mark.parametrize(
    "file", ["policy@*/adapter_model.safetensors", "optimizer.safetensors", "manifest.json"]
)
def test_damage_falls_back(
    file: str,
    child_settings: LearnerProcessSettings,
    folder: Path,
    make_batch: MakeBatch,
    sealed: Sealed,
) -> None:
    """One flipped bit anywhere: the one before is taken, the batch applied again under a new number."""
    worker = Worker(child_settings)
    batch = sealed(make_batch(1))
    worker.apply(batch)
    lost = worker.head
    flip(next((folder / "000001").glob(file)))
    again = Worker(child_settings)
    assert again.head.sequence == 0
    assert again.apply(batch) == Checkpointed(
        sequence=2, version=f"policy@v000002-{lost.digest[:8]}"
    )
    assert again.head.applied == (1,)
    assert newest_valid(folder) == again.head


def test_missing_file_is_named(child_settings: LearnerProcessSettings, folder: Path) -> None:
    """A checkpoint that lost a file says which."""
    worker = Worker(child_settings)
    (folder / "000000" / "estimators.json").unlink()
    problem = problem_of(folder, worker.head)
    assert problem is not None
    assert problem.endswith("000000/estimators.json: missing")
    with pytest.raises(ValueError, match="every one is damaged"):
        Worker(child_settings)


def test_half_written_is_swept(child_settings: LearnerProcessSettings, folder: Path) -> None:
    """What a killed learner left aside is not a checkpoint, and goes at the next start."""
    Worker(child_settings)
    (folder / ".new-000001").mkdir()
    (folder / ".new-000001" / "manifest.json").write_text("{}")
    assert sequences(folder) == [0]
    assert Worker(child_settings).head.sequence == 0
    assert not list(folder.glob(".new-*"))


def test_lost_lease(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """Once a later lease is written, a learner of the earlier one leaves nothing behind."""
    worker = Worker(child_settings)
    write_epoch(folder, 3)
    worker.apply(sealed(make_batch(1)))
    write_epoch(folder, 4)
    with pytest.raises(StaleEpoch, match=r"EPOCH is 4, this learner's lease 3"):
        worker.apply(sealed(make_batch(2, parent=1)))
    assert sequences(folder) == [0, 1]
    assert not list(folder.glob(".new-*"))
    with pytest.raises(ValueError, match="EPOCH: 4 is above 3"):
        write_epoch(folder, 3)
    assert read_epoch(folder) == 4


def test_applied_once(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A batch that the lineage has is answered with the checkpoint it made, and applied no more."""
    worker = Worker(child_settings)
    first = worker.apply(sealed(make_batch(1)))
    worker.apply(sealed(make_batch(2, parent=1)))
    assert worker.apply(sealed(make_batch(1))) == first
    assert Worker(child_settings).apply(sealed(make_batch(1))) == first
    assert sequences(folder) == [0, 1, 2]


def test_skip(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A batch given up is a checkpoint with the parent's version; it is never tried again."""
    worker = Worker(child_settings)
    path = sealed(make_batch(5))
    version = worker.head.version
    got = worker.skip(path, "three deaths")
    assert got == BatchFailed(batch_id=5, reason="three deaths", sequence=1)
    assert (worker.head.skipped, worker.head.applied) == ((5,), ())
    assert (worker.head.version, worker.head.batch_id) == (version, 5)
    assert worker.head.episode_ids == tuple(f"s5.g{n}" for n in range(12))
    assert worker.apply(path) == BatchFailed(batch_id=5, reason="given up before", sequence=1)
    unreadable = path.with_name("000006.json")
    unreadable.write_text('{"batch_id": 6, "episodes"')
    with pytest.raises(ValueError, match=r"000006.json: "):
        worker.apply(unreadable)
    assert worker.skip(unreadable, "unreadable").sequence == 2
    assert worker.head.skipped == (5, 6)


def test_bad_batch_is_skipped(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A batch that blows up becomes a checkpoint with the weights of its parent."""
    worker = Worker(child_settings)
    worker.apply(sealed(make_batch(1)))
    before = worker.head
    worker.learner.settings = msgspec.structs.replace(child_settings.learner, learning_rate=1e36)
    got = worker.apply(sealed(make_batch(2, parent=1)))
    assert got == BatchFailed(batch_id=2, reason="the loss is not finite", sequence=2)
    assert (worker.head.version, worker.head.digest) == (before.version, before.digest)
    kept = {name: digest for name, digest in before.files.items() if "rng" not in name}
    assert kept.items() <= worker.head.files.items()
    assert (worker.head.applied, worker.head.skipped) == ((1,), (2,))


def test_rollback(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A rollback is a new checkpoint with the old bits; what it took out is never applied again."""
    worker = after_three_batches(child_settings, make_batch, sealed)
    target = read_manifest(folder, 1)
    assert worker.roll_back(1) == Checkpointed(sequence=4, version=target.version)
    head = worker.head
    assert (head.parent_sequence, head.applied, head.reverted) == (1, (1,), (2, 3))
    assert head.batch_id is None
    assert head.probe == target.probe
    rng = "rng.safetensors"
    assert {n: d for n, d in head.files.items() if n != rng} == {
        n: d for n, d in target.files.items() if n != rng
    }
    again = Worker(child_settings)
    assert again.head == head
    assert isinstance(again.apply(sealed(make_batch(3, parent=2))), BatchFailed)
    assert isinstance(again.apply(sealed(make_batch(4, parent=4))), Checkpointed)
    assert (again.head.applied, again.head.reverted) == ((1, 4), (2, 3))
    with pytest.raises(ValueError, match="there is no checkpoint 9"):
        again.roll_back(9)


def test_rollback_to_where_it_stands(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """Asked to go where it is, the learner shows by a checkpoint that it is there."""
    worker = Worker(child_settings)
    worker.apply(sealed(make_batch(1, parent=0)))
    assert worker.roll_back(1).sequence == 2
    assert worker.roll_back(1).sequence == 3
    assert (worker.head.parent_sequence, worker.head.applied, worker.head.reverted) == (1, (1,), ())


def test_rollback_to_a_damaged_checkpoint(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """Where the way back is spoilt it leads to the last whole one before, and says so by its parent."""
    worker = after_three_batches(child_settings, make_batch, sealed)
    flip(folder / "000002" / "optimizer.safetensors")
    assert worker.roll_back(2).sequence == 4
    assert (worker.head.parent_sequence, worker.head.reverted) == (1, (2, 3))


def test_damage_under_a_living_learner(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """Its newest checkpoint spoilt on disk, the learner ends; the next one makes the same bits again."""
    worker = Worker(child_settings)
    worker.apply(sealed(make_batch(1, parent=0)))
    before = read_manifest(folder, 1)
    flip(folder / "000001" / before.version / "adapter_model.safetensors")
    again = Apply(path=str(sealed(make_batch(1, parent=0))))
    with pytest.raises(ValueError, match="the newest checkpoint is damaged"):
        worker.run(again, lambda _: None)
    worker = Worker(child_settings)
    assert worker.run(again, lambda _: None) == Checkpointed(
        sequence=2, version=worker.head.version
    )
    assert (worker.head.parent_sequence, worker.head.digest) == (0, before.digest)


def test_quarantine_at_start(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A chain that holds a refused digest is left by a rollback before anything else happens."""
    worker = Worker(child_settings)
    for number in (1, 2):
        worker.apply(sealed(make_batch(number, parent=number - 1)))
    refused = read_manifest(folder, 1).digest
    strict = msgspec.structs.replace(child_settings, quarantined=(refused,))
    head = Worker(strict).head
    assert (head.sequence, head.parent_sequence, head.reverted) == (3, 0, (1, 2))
    assert head.version == read_manifest(folder, 0).version
    assert Worker(strict).head == head


def test_another_base(
    child_settings: LearnerProcessSettings, tmp_path: Path, tiny_policy: Path
) -> None:
    """Checkpoints of one base model are refused by a learner of another."""
    from rlwd.learner.tiny.model import make_tiny_policy

    Worker(child_settings)
    make_tiny_policy(tmp_path / "other", seed=1, steps=0)
    learner = msgspec.structs.replace(child_settings.learner, model=str(tmp_path / "other"))
    with pytest.raises(ValueError, match="made for the base model"):
        Worker(msgspec.structs.replace(child_settings, learner=learner))


def test_a_held_epoch_is_waited_for_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stopped while it held the epoch keeps nobody waiting for ever: the file is named."""
    monkeypatch.setattr(epoch, "EPOCH_SECONDS", 0.1)
    with (
        epoch.epoch_lock(folder),
        pytest.raises(TimeoutError, match=r"EPOCH\.lock: held for over"),
        epoch.epoch_lock(folder),
    ):
        raise AssertionError("two hold it")
    write_epoch(folder, 3)
    assert read_epoch(folder) == 3


def test_prune(
    child_settings: LearnerProcessSettings, folder: Path, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """Of what nothing names only the manifests stay, for lineage and audit; asked again, nothing happens."""
    worker = after_three_batches(child_settings, make_batch, sealed)
    assert worker.run(Prune(sequences=(0, 2)), lambda _: None) == Pruned(sequences=(0, 2))
    assert worker.run(Prune(sequences=(0, 2)), lambda _: None) == Pruned(sequences=())
    assert sequences(folder) == [0, 1, 2, 3]
    assert sorted(path.name for path in (folder / "000002").iterdir()) == list(MANIFEST_FILES)
    assert [problem_of(folder, m) is None for m in read_manifests(folder)] == [False, True] * 2
    again = Worker(child_settings)
    assert again.head.applied == (1, 2, 3)
    assert again.apply(sealed(make_batch(2, parent=1))) == Checkpointed(
        sequence=2, version=read_manifest(folder, 2).version
    )
    with pytest.raises(ValueError, match="is the newest, and is not pruned"):
        again.run(Prune(sequences=(3,)), lambda _: None)
    flip(folder / "000003" / "optimizer.safetensors")
    assert Worker(child_settings).head.sequence == 1
