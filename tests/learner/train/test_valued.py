"""Estimators in an update: which one is used, what all of them report, what an old checkpoint has."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import torch

from rlwd.learner.checkpoint.write import Checkpoints
from rlwd.learner.estimators.segment_counts import SegmentCounts
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings
from rlwd.learner.train.packing import pack, pooled_prompts
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeBatch = Callable[..., SealedBatch]
Name = Literal["tracker", "exponential_mean", "reinforce_plus_plus", "contextual"]
NAMES: tuple[Name, ...] = ("tracker", "exponential_mean", "reinforce_plus_plus", "contextual")


def test_all_report_and_one_is_used(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Each setting makes another update; what is reported and kept of the first batch is the same."""
    settings = msgspec.structs.replace(settings, context_half_life=1e6, passes=1)
    seen = dict[str, dict[str, float]]()
    for name in NAMES:
        learner = Learner(msgspec.structs.replace(settings, estimator=name))
        first = apply_batch(learner, make_batch(1, episodes=24)).metrics
        told = {key: value for key, value in first.items() if key.startswith("estimator/")}
        assert {key.split("/")[1] for key in told} == set(NAMES)
        assert all(math.isfinite(value) for value in told.values())
        seen[name] = told
        assert learner.estimators.contextual.moments.count == pytest.approx(24.0, abs=0.01)
        second = apply_batch(learner, make_batch(2, parent=1)).metrics
        assert second["estimator/contextual/evidence"] == pytest.approx(36.0, abs=0.01)
        seen[f"{name}, baseline"] = {"mean": first["baseline/mean"]}
    assert all(seen[name] == seen["tracker"] for name in NAMES)
    assert len({seen[f"{name}, baseline"]["mean"] for name in NAMES}) > 2


@pytest.mark.parametrize("name", ["tracker", "contextual"])
def test_without_the_anchors_pass(
    name: Name, settings: LearnerSettings, make_batch: MakeBatch
) -> None:
    """Where the KL has no weight, prompts' states have a pass of their own, and only if they are used."""
    learner = Learner(msgspec.structs.replace(settings, estimator=name, kl_weight=0.0))
    apply_batch(learner, make_batch())
    assert (learner.estimators.contextual.moments.count > 0.0) == (name == "contextual")


def test_a_state_is_of_its_prompt_alone(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Pooled out of packed rows, a prompt's state is the mean over it alone, whatever was answered and
    however far the policy has moved."""
    learner, batch = Learner(settings), make_batch()

    def states(batch: SealedBatch) -> torch.Tensor:
        packed = pack(batch.episodes, tokens=64, device=learner.policy.device)
        with learner.policy.as_anchor():
            return pooled_prompts(learner.policy.hidden(packed.ids_BT, packed.positions_BT), packed)

    was = states(batch)
    for state, episode in zip(was, batch.episodes, strict=True):
        ids_BT = torch.tensor([episode.prompt_token_ids])
        with learner.policy.as_anchor():
            alone = learner.policy.hidden(ids_BT, torch.arange(ids_BT.shape[1])[None])[0].mean(0)
        torch.testing.assert_close(state, alone, rtol=1e-3, atol=1e-4)
    apply_batch(learner, batch)
    other = tuple(
        msgspec.structs.replace(e, completion_token_ids=(3, 4), logprobs=(-1.0, -1.0))
        for e in batch.episodes
    )
    now = states(msgspec.structs.replace(batch, episodes=other))
    torch.testing.assert_close(now, was, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_before_has_the_tracker(
    child_settings: LearnerProcessSettings, tmp_path: Path
) -> None:
    """One that was written when there was only the tracker is taken up; the others start from nothing."""
    worker = Worker(child_settings)
    inside = tmp_path / "checkpoints" / "000000"
    for name in ("estimators.json", "estimators.safetensors"):
        (inside / name).unlink()
    (inside / "tracker.json").write_text('{"mail":{"alpha":3.0,"beta":1.0,"drift":0.5}}')
    learner = Learner(child_settings.learner)
    Checkpoints(tmp_path / "checkpoints", policy="policy", lease_epoch=3).load(learner, worker.head)
    known = learner.estimators.tracker.segments
    assert known == {"mail": SegmentCounts(alpha=3.0, beta=1.0, drift=0.5)}
    assert learner.estimators.contextual.moments.count == 0.0
