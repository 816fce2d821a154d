"""A batch that would move the policy further than a version may: it is taken back, by name."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.drift_settings import DriftSettings
from rlwd.learner.process.protocol import BatchFailed, Checkpointed
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings
from rlwd.learner.staying.drift_probe import TEXTS, DriftProbe, update_norm
from rlwd.learner.train.state import Learner

MakeBatch = Callable[..., SealedBatch]


def with_budget(settings: LearnerProcessSettings, **budget: object) -> LearnerProcessSettings:
    """Return settings of a learner with a drift budget."""
    drift = msgspec.convert(budget, DriftSettings)
    learner = msgspec.structs.replace(settings.learner, drift=drift)
    return msgspec.structs.replace(settings, learner=learner)


@pytest.mark.parametrize("key", ["version_kl", "version_norm"])
def test_a_version_beyond_its_budget_is_not_made(
    key: str,
    child_settings: LearnerProcessSettings,
    make_batch: MakeBatch,
    sealed: Callable[[SealedBatch], Path],
) -> None:
    """The batch is skipped, each episode by name, the weights stay; within the budget one is made."""
    worker, batch = Worker(with_budget(child_settings, **{key: 1e-9})), make_batch(1)
    before = worker.learner.snapshot()
    report = worker.apply(sealed(batch))
    assert isinstance(report, BatchFailed)
    assert f"learner.drift.{key} is 1e-09" in report.reason
    assert not report.fault
    made = read_manifests(Path(child_settings.folder))[-1]
    assert made.skipped == (1,)
    assert set(made.left_out.values()) == {"excluded:drift"}
    everybody = (*batch.episodes, *batch.held_out)
    assert set(made.left_out) == {episode.generation_id for episode in everybody}
    after = worker.learner.snapshot()
    assert all(torch.equal(after.weights[name], w) for name, w in before.weights.items())
    assert (after.moments, after.estimators[0]) == ({}, before.estimators[0])
    drift = DriftSettings(version_kl=1e3, version_norm=1e3)
    worker.learner.settings = msgspec.structs.replace(worker.learner.settings, drift=drift)
    assert isinstance(worker.apply(sealed(make_batch(2))), Checkpointed)
    told = read_manifests(Path(child_settings.folder))[-1].metrics
    assert told["drift/kl_added"] == told["drift/kl"] > 0.0
    assert told["drift/norm"] > 0.0


def test_the_kl_is_exact(settings: LearnerSettings) -> None:
    """It is the mean over tokens of KL(policy to base) over the vocabulary, in float64."""
    learner = Learner(settings)
    probe = DriftProbe(learner)
    assert len(probe.sequences) == len(TEXTS)
    assert probe.kl(learner) == pytest.approx(0.0, abs=1e-9)
    with torch.no_grad():
        for parameter in learner.policy.trainable().values():
            parameter += 0.02
    found, tokens = 0.0, 0
    for one in probe.sequences:
        ids = torch.tensor([one.prompt_token_ids + one.completion_token_ids])
        with torch.no_grad():
            ours = learner.policy.model(ids).logits[0, :-1].double().log_softmax(-1)
            with learner.policy.as_anchor():
                base = learner.policy.model(ids).logits[0, :-1].double().log_softmax(-1)
        found += float((ours.exp() * (ours - base)).sum())
        tokens += len(ours)
    assert found / tokens > 1e-3
    assert probe.kl(learner) == pytest.approx(found / tokens, rel=1e-4)


def test_norm_by_hand() -> None:
    """(3, 4) moved to (3, 7): 3 of 5."""
    assert update_norm(
        {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])},
        {"a": torch.tensor([3.0]), "b": torch.tensor([7.0])},
    ) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no line in it"),
        ('{"text": "one two"}\n{"txt": 1}', r":2: Object contains unknown field `txt`"),
        ('{"token_ids": [1]}', ":1: 1 tokens; 2 to"),
        ('{"token_ids": [1, 9999]}', ":1: token id 9999: there are 260"),
        ('{"text": "a", "token_ids": [1, 2]}', ":1: either `text` or"),
    ],
)
def test_a_file_that_cannot_be_used(
    text: str, problem: str, settings: LearnerSettings, tmp_path: Path
) -> None:
    """The setting, the file and the line are named."""
    path = tmp_path / "probes.jsonl"
    path.write_text(text)
    drift = DriftSettings(probes=str(path))
    learner = Learner(settings)
    learner.settings = msgspec.structs.replace(settings, drift=drift)
    with pytest.raises(ValueError, match=f"learner.drift.probes: {path}.*{problem}"):
        DriftProbe(learner)
    path.write_text('{"text": "one two"}\n\n{"token_ids": [5, 6, 7]}\n')
    assert [len(one.completion_token_ids) for one in DriftProbe(learner).sequences] == [6, 2]
