"""A moving average of the adapters as what is offered, while training goes on from the last one."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import candidate_of, read_manifests
from rlwd.learner.process.protocol import Checkpointed
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings

MakeBatch = Callable[..., SealedBatch]
Weights = dict[str, torch.Tensor]


@pytest.fixture
def averaged(child_settings: LearnerProcessSettings) -> LearnerProcessSettings:
    """Settings under which a version is 0.75 of the one before and 0.25 of what was trained."""
    learner = msgspec.structs.replace(child_settings.learner, average=0.75)
    return msgspec.structs.replace(child_settings, learner=learner)


def trained(worker: Worker) -> Weights:
    return worker.learner.snapshot().weights


def made(worker: Worker) -> list[Manifest]:
    return read_manifests(worker.folder)


def adapter(worker: Worker, manifest: Manifest) -> Weights:
    """Return what an engine would serve, by parameter."""
    folder = candidate_of(worker.folder, manifest).path
    found = load_file(folder / "adapter_model.safetensors")
    return {name.replace(".weight", ".default.weight"): each for name, each in found.items()}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_the_average_is_offered(
    averaged: LearnerProcessSettings,
    child_settings: LearnerProcessSettings,
    tmp_path: Path,
    make_batch: MakeBatch,
    sealed: Callable[[SealedBatch], Path],
) -> None:
    """Each version is the average, and the same batches train the same weights as without it."""
    worker = Worker(averaged)
    plain = Worker(msgspec.structs.replace(child_settings, folder=str(tmp_path / "plain")))
    wanted = trained(worker)
    for number in (1, 2):
        for each in (worker, plain):
            assert isinstance(each.apply(sealed(make_batch(number))), Checkpointed)
        assert same(trained(worker), trained(plain))
        wanted = {n: 0.75 * wanted[n] + 0.25 * w for n, w in trained(worker).items()}
        version = made(worker)[-1]
        found = adapter(worker, version)
        assert found.keys() == wanted.keys()
        assert all(torch.allclose(found[n], wanted[n], atol=1e-6) for n in wanted)
        assert version.digest != made(plain)[-1].digest
        assert version.metrics["average/apart"] > 0.0
        with worker.learner.offered():
            assert version.probe == worker.learner.probe()
        assert version.probe != worker.learner.probe()
        assert "trained.safetensors" in version.files
        assert 0.0 < version.metrics["drift/kl"] < made(plain)[-1].metrics["drift/kl"]
    assert "trained.safetensors" not in made(plain)[-1].files


def test_a_resume_is_exact(
    averaged: LearnerProcessSettings, make_batch: MakeBatch, sealed: Callable[[SealedBatch], Path]
) -> None:
    """A learner that was started again has both, bit for bit, and a skipped batch changes neither."""
    worker = Worker(averaged)
    worker.apply(sealed(make_batch(1)))
    worker.skip(sealed(make_batch(2)), "for the test")
    again = Worker(averaged)
    assert again.head.digest == made(again)[1].digest
    assert again.learner.average is not None
    assert worker.learner.average is not None
    assert same(again.learner.average, worker.learner.average)
    assert same(trained(again), trained(worker))
    assert not same(trained(again), again.learner.average)


def test_a_rollback_resets_it(
    averaged: LearnerProcessSettings, make_batch: MakeBatch, sealed: Callable[[SealedBatch], Path]
) -> None:
    """Training goes on from what was offered then, and the average begins there anew."""
    worker = Worker(averaged)
    for number in (1, 2):
        worker.apply(sealed(make_batch(number)))
    first = made(worker)[1]
    worker.roll_back(1)
    back = made(worker)[-1]
    assert (back.version, back.digest) == (first.version, first.digest)
    assert worker.learner.average is None
    assert same(trained(worker), adapter(worker, first))
    assert "trained.safetensors" not in back.files
    worker.apply(sealed(make_batch(3)))
    stood, now = adapter(worker, first), trained(worker)
    found = adapter(worker, made(worker)[-1])
    assert all(torch.allclose(found[n], 0.75 * stood[n] + 0.25 * now[n], atol=1e-6) for n in now)


def test_turned_off(
    averaged: LearnerProcessSettings,
    child_settings: LearnerProcessSettings,
    make_batch: MakeBatch,
    sealed: Callable[[SealedBatch], Path],
) -> None:
    """A checkpoint with an average is read as it is; the next version offers what is trained."""
    averaging = Worker(averaged)
    averaging.apply(sealed(make_batch(1)))
    # The parent had no average yet: what it served is what scored.
    assert averaging.head.metrics["mismatch/tokens"] > 0.0
    worker = Worker(child_settings)
    worker.skip(sealed(make_batch(2)), "for the test")
    assert worker.head.digest == made(worker)[1].digest
    worker.apply(sealed(make_batch(3)))
    assert same(adapter(worker, worker.head), trained(worker))
    # What this one's parent served is the average, and the weights that scored are not: no mismatch.
    assert worker.head.metrics["mismatch/tokens"] == 0.0
    assert worker.head.metrics["staleness/tokens"] > 0.0
    worker.apply(sealed(make_batch(4)))
    assert worker.head.metrics["mismatch/tokens"] > 0.0
