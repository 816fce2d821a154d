"""Full weights on disk: whole ones and what changed since; every version comes back to the bit, or is refused by name."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor

from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import (
    MANIFEST_FILES,
    checkpoint_path,
    copy_links,
    newest_valid,
    problem_of,
    read_manifest,
    read_manifests,
    whole_checkpoints,
)
from rlwd.learner.checkpoint.learner_state import (
    AVERAGE,
    OPTIMIZER,
    RANDOM,
    TRAINED,
    state_to_write,
)
from rlwd.learner.checkpoint.weight_chain import WeightChain, put_together
from rlwd.learner.checkpoint.weight_link import TENSORS, chain, link_path, read_link
from rlwd.learner.checkpoint.write import Checkpoints, Origin
from rlwd.learner.process.protocol import BatchFailed, Prune
from rlwd.learner.process.worker import Worker
from rlwd.learner.ranks.group import Ranks
from rlwd.learner.rebuild.rebuild_plan import BASE, plan_rebuild
from rlwd.learner.rebuild.rebuilder import Rebuilder
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.train.full_policy import FullPolicy
from rlwd.learner.train.state import Learner

MakeBatch = Callable[..., SealedBatch]
Sealed = Callable[[SealedBatch], Path]
LENGTH, EVERY = 30, 12


@pytest.fixture
def full(child_settings: LearnerProcessSettings) -> LearnerProcessSettings:
    """All weights of the tiny policy in bfloat16, at a rate at which some per cent of the bits move."""
    learner = msgspec.structs.replace(
        child_settings.learner,
        weights="full",
        dtype="bfloat16",
        learning_rate=1e-6,
        whole_every=EVERY,
        passes=1,
        minibatch_episodes=64,
    )
    return msgspec.structs.replace(child_settings, learner=learner)


def hashes(weights: dict[str, Tensor]) -> dict[str, str]:
    found = {name: tensor.view(torch.uint8).numpy().tobytes() for name, tensor in weights.items()}
    return {name: hashlib.sha256(raw).hexdigest() for name, raw in found.items()}


def in_memory(learner: Learner) -> dict[str, str]:
    """Digest of each weight that the learner would offer."""
    assert isinstance(learner.policy, FullPolicy)
    with learner.offered():
        return hashes(learner.policy.weights())


def whole_state(manifest: Manifest) -> dict[str, str]:
    """Digests of a checkpoint's files, but for how its weights are kept and the process's draws."""
    other = (f"{link_path(Path()).name}/", RANDOM)
    return {name: one for name, one in manifest.files.items() if not name.startswith(other)}


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


class Long:
    """A lineage of thirty versions, and what the learner had in memory at each."""

    def __init__(self, settings: LearnerProcessSettings) -> None:
        self.folder = Path(settings.folder)
        learner = Learner(settings.learner)
        made, draw = Checkpoints(self.folder, policy="policy", lease_epoch=3), torch.Generator()
        self.memory = list[dict[str, str]]()
        for number in range(LENGTH + 1):
            if number:
                # What Adam moves a weight by in its first steps.
                moved = {
                    name: weight
                    + 1e-6 * torch.randn(weight.shape, generator=draw.manual_seed(number))
                    for name, weight in learner.policy.trainable().items()
                }
                learner.take_weights(moved)
            parent = number - 1 if number else None
            origin = Origin(
                parent_sequence=parent,
                applied=tuple(range(1, number + 1)),
                batch_id=number or None,
                probe=learner.probe(),
                metrics={},
            )
            made.write(learner, origin, now=float(number))
            self.memory.append(in_memory(learner))


def test_a_chain_of_thirty(full: LearnerProcessSettings) -> None:
    """Each of 30 versions is put together to the bit; a link that is damaged or gone is named, and the
    learner stands on the newest version that is whole; what is kept keeps its links."""
    long = Long(full)
    folder, links = long.folder, {n: long.folder / f"{n:06d}" for n in range(LENGTH + 1)}
    found = [read_link(links[number]) for number in links]
    assert [n for n, link in enumerate(found) if link.kind == "whole"] == [0, EVERY, 2 * EVERY]
    assert [link.depth for link in found] == [n % EVERY for n in range(LENGTH + 1)]
    sizes = [(link_path(links[n]) / TENSORS).stat().st_size for n in links]
    assert max(sizes[n] for n in links if n % EVERY) < sizes[0] / 4
    for number, wanted in enumerate(long.memory):
        assert hashes(put_together(folder, number)) == wanted
        assert problem_of(folder, read_manifest(folder, number)) is None
    assert chain(folder, 27) == [27, 26, 25, 24]
    assert len({*map(tuple, (sorted(one.items()) for one in long.memory))}) == LENGTH + 1

    spoilt = folder.parent / "spoilt"
    shutil.copytree(folder, spoilt)
    flip(link_path(spoilt / "000026") / TENSORS)
    shutil.rmtree(link_path(spoilt / "000013"))
    told = problem_of(spoilt, read_manifest(spoilt, 30))
    assert told is not None
    assert told.endswith(
        "000026/weights/weights.safetensors: its digest is not the manifest's, and checkpoint 30 is built on it"
    )
    assert (
        problem_of(spoilt, read_manifest(spoilt, 20))
        == f"{link_path(spoilt / '000013')}/link.json: missing"
    )
    assert problem_of(spoilt, read_manifest(spoilt, 12)) is None
    with pytest.raises(ValueError, match=r"000013/weights/link\.json: missing"):
        put_together(spoilt, 20)
    os.truncate(link_path(spoilt / "000003") / TENSORS, 100)
    with pytest.raises(ValueError, match=r"000003/weights/weights\.safetensors: "):
        put_together(spoilt, 5)
    at = Worker(msgspec.structs.replace(full, folder=str(spoilt)))
    assert (at.head.sequence, in_memory(at.learner)) == (25, long.memory[25])
    assert at.roll_back(20).sequence == 31
    assert (at.head.parent_sequence, in_memory(at.learner)) == (12, long.memory[12])
    # What the one that is gone was built on nobody knows: it may come back from a backup.
    at.run(Prune(sequences=(*range(1, 12), 14)), lambda _: None)
    assert [n for n in range(16) if not link_path(spoilt / f"{n:06d}").is_dir()] == [13]

    worker = Worker(full)
    worker.run(Prune(sequences=(*range(10), *range(11, 29))), lambda _: None)
    assert whole_checkpoints(folder) == [10, 29, 30]
    kept = [n for n in links if link_path(links[n]).is_dir()]
    assert kept == [*range(11), *range(24, 31)]
    assert sorted(path.name for path in links[23].iterdir()) == list(MANIFEST_FILES)
    for number in (10, 29, 30):
        assert hashes(put_together(folder, number)) == long.memory[number]
        assert problem_of(folder, read_manifest(folder, number)) is None
    worker.run(Prune(sequences=(10,)), lambda _: None)
    assert [n for n in links if link_path(links[n]).is_dir()] == [*range(24, 31)]


def test_all_that_a_lineage_may_hold(
    full: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed, tmp_path: Path
) -> None:
    """Restart, a batch that is given up, rollback and rebuild: the bits of what learns, average and moments too."""
    learner = msgspec.structs.replace(full.learner, average=0.5)
    settings = msgspec.structs.replace(full, learner=learner)
    batches = {n: make_batch(n, parent=n - 1, episodes=6, held_out=1) for n in range(1, 5)}
    batches[2] = msgspec.structs.replace(
        batches[2],
        episodes=tuple(msgspec.structs.replace(e, reward=1.0) for e in batches[2].episodes),
    )
    folder, steady = Path(settings.folder), Worker(settings)
    first = steady.head
    assert first.metrics == {}
    steady.apply(sealed(batches[1]))
    assert {TRAINED, AVERAGE} <= steady.head.files.keys()
    assert isinstance(steady.apply(sealed(batches[2])), BatchFailed)
    restarted = Worker(settings)
    assert restarted.head == steady.head
    steady.apply(sealed(batches[3]))
    shutil.copytree(folder, tmp_path / "steady")
    shutil.rmtree(checkpoint_path(folder, 3))
    restarted.apply(sealed(batches[3]))
    assert restarted.head.files == {**steady.head.files, RANDOM: restarted.head.files[RANDOM]}
    assert restarted.head.version == steady.head.version

    restarted.roll_back(1)
    assert restarted.head.version == read_manifest(folder, 1).version
    again = Worker(settings)
    assert in_memory(again.learner) == hashes(put_together(folder, 1))
    assert again.learner.average is None  # It would lead back to where the rollback comes from.
    again.apply(sealed(batches[4]))
    kinds = [
        read_link(checkpoint_path(folder, one.sequence)).kind for one in read_manifests(folder)
    ]
    assert kinds == ["whole", "changes", "same", "changes", "same", "changes"]
    assert [read_link(checkpoint_path(folder, n)).base for n in range(6)] == [None, 0, 1, 1, 1, 1]

    def applied(manifest: Manifest) -> SealedBatch:
        return batches[manifest.batch_id or 0]

    for begin_with, steps in ((BASE, (0, 1, 4, 5)), ("", (5,))):
        plan = plan_rebuild(folder, "policy", again.head.version, begin_with)
        assert plan.steps == steps
        out = tmp_path / f"out{begin_with}"
        made = list(Rebuilder(folder, out, "policy", settings.learner).run(plan, applied))
        assert [one.likeness.differences for one in made] == [()] * len(steps)
        assert hashes(put_together(out, 5)) == in_memory(again.learner)
        assert made[-1].path == link_path(checkpoint_path(out, 5))

    # As a backup copies it: the newest one with all that it is built on.
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copytree(checkpoint_path(folder, 5), checkpoint_path(copied, 5))
    copy_links(folder, copied, [5])
    newest = newest_valid(copied)
    assert newest == again.head
    assert whole_checkpoints(copied) == [5]
    other = msgspec.structs.replace(settings, folder=str(copied))
    assert in_memory(Worker(other).learner) == in_memory(again.learner)
    adapter = msgspec.structs.replace(other.learner, weights="adapter")
    with pytest.raises(ValueError, match=r"learner\.weights: .*/000005 was made with 'full'"):
        Worker(msgspec.structs.replace(other, learner=adapter))


def test_a_rank_that_does_not_write_keeps_nothing(
    full: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed, tmp_path: Path
) -> None:
    """It helps to put moments and weights together and reads the newest ones, and has no second copy of them."""
    worker = Worker(full)
    worker.apply(sealed(make_batch(1, episodes=4)))
    other = Learner(full.learner, Ranks(rank=1, size=1))
    read = Checkpoints(worker.folder, policy="policy", lease_epoch=3)
    read.load(other, worker.head)
    assert in_memory(other) == in_memory(worker.learner)
    assert other.moments()
    state = state_to_write(other)
    assert (state.files[OPTIMIZER], state.files[TRAINED], state.weights) == ({}, {}, {})
    with pytest.raises(AssertionError, match="nothing was loaded"):
        read.chain.write_same(tmp_path, {})


def test_in_float32_all_of_it_moves(tmp_path: Path) -> None:
    """Where nearly all numbers change, changes would take more room: each version is whole."""
    draw, made = torch.Generator().manual_seed(0), WeightChain()
    weights = {"w": torch.randn(40, 30, generator=draw)}
    for number in range(3):
        aside = tmp_path / f"{number:06d}"
        made.write(aside, weights, sequence=number, whole_every=9)
        moved = weights["w"] + 1e-6 * torch.randn(40, 30, generator=draw)
        weights = {"w": moved if number == 0 else weights["w"]}
    # The second moved, the third is what the second was.
    assert [read_link(tmp_path / f"{n:06d}").kind for n in range(3)] == [
        "whole",
        "whole",
        "changes",
    ]
    assert torch.equal(put_together(tmp_path, 2)["w"], weights["w"])
