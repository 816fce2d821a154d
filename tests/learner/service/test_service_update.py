"""An update through the port is the update of our own learner, with what no service offers left out."""

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import Correction, SealedBatch, SealedEpisode
from rlwd.learner.service.own_training import OwnTraining
from rlwd.learner.service.scoring import kl_estimate
from rlwd.learner.service.service_steps import ServiceSteps
from rlwd.learner.service.service_update import apply_at_service
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import prompt_ids
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import Update, apply_batch
from rlwd.streams.join import fate

MakeBatch = Callable[..., SealedBatch]


def through_the_port(own: OwnTraining, batch: SealedBatch) -> Update:
    """Apply a batch to a new policy."""
    settings = own.learner.settings
    own.begin(None)
    steps = ServiceSteps(service=own, settings=settings, made=0)
    vocabulary = own.learner.policy.vocabulary
    return apply_at_service(steps, Estimators.new(settings), batch, vocabulary, lambda *_: None)


@pytest.mark.parametrize("region", ["decoupled", "clipped", "gspo"])
def test_it_is_the_same_update(plain: LearnerSettings, make_batch: MakeBatch, region: str) -> None:
    """Weights to 1e-5, all that both measure, evidence and probe; several steps, passes and weights."""
    settings = msgspec.structs.replace(plain, trust_region=region, warmup_steps=3)
    batch = make_batch(3, weight=2.0)
    ours, own = Learner(settings), OwnTraining(settings)
    wanted, found = apply_batch(ours, batch), through_the_port(own, batch)
    for name, weight in ours.policy.trainable().items():
        torch.testing.assert_close(
            own.learner.policy.trainable()[name], weight, rtol=0.0, atol=1e-5
        )
    assert found.left_out == wanted.left_out == {}
    # KL to the base is exact here, and an estimate there.
    both = found.metrics.keys() & wanted.metrics.keys() - {"after/kl/anchor"}
    assert {
        "steps",
        "drift",
        "loss/policy",
        "before/ratio/ess",
        "after/ratio/k3",
        "ess/least",
    } <= both
    for name in both:
        assert found.metrics[name] == pytest.approx(wanted.metrics[name], rel=1e-3, abs=1e-5), name
    assert found.probe.token_ids == wanted.probe.token_ids
    assert found.probe.logprobs == pytest.approx(wanted.probe.logprobs, abs=1e-4)
    assert found.held_out is not None
    assert wanted.held_out is not None
    assert found.held_out.estimate == pytest.approx(wanted.held_out.estimate, abs=1e-5)
    assert found.metrics["after/kl/anchor"] >= 0.0


LANES = {
    "kto": LaneSettings(kto=1.0, dpo=0.0),
    "dpo": LaneSettings(kto=0.0, dpo=1.0, dpo_sft=0.5),
    "sft": LaneSettings(kto=0.0, dpo=0.0, sft=1.0),
    "hindsight": LaneSettings(kto=0.0, dpo=0.0, hindsight=1.0),
}


def of_lane(make_batch: MakeBatch, lane: str, model: str) -> SealedBatch:
    """Answers without log-probabilities that one lane can learn from, each to another question."""
    episodes = tuple(
        msgspec.structs.replace(
            one,
            lane=lane,
            logprobs=(),
            temperature=0.0,
            reward=float(index % 2),
            prompt_token_ids=tuple(
                prompt_ids(Path(model), [{"role": "user", "content": f"mail {index}"}])
            ),
            correction=Correction(text="good", first=0, past=2),
            follow_up="no, shorter",
        )
        for index, one in enumerate(make_batch(6, weight=1.5).episodes)
    )
    return msgspec.structs.replace(make_batch(), episodes=episodes, held_out=())


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("lane", list(LANES))
def test_the_other_lanes_are_the_same_update(
    plain: LearnerSettings, make_batch: MakeBatch, lane: str, beside: bool
) -> None:
    """Weights to 2e-5, alone and beside the ratio lane: Adam makes as much of a rounding as of a gradient.

    KTO's baseline is exact here and an estimate there, and 0 in both before anything was learned.
    """
    passes = 1 if lane == "kto" else 2
    settings = msgspec.structs.replace(plain, lanes=LANES[lane], passes=passes)
    if lane == "kto":
        settings = msgspec.structs.replace(settings, minibatch_episodes=64)
    batch = of_lane(make_batch, lane, plain.model)
    if beside:
        batch = msgspec.structs.replace(
            batch, episodes=(*make_batch(3).episodes, *named_anew(batch.episodes))
        )
    ours, own = Learner(settings), OwnTraining(settings)
    before = {n: weight.detach().clone() for n, weight in ours.policy.trainable().items()}
    wanted, found = apply_batch(ours, batch, lanes=lane_parts), through_the_port(own, batch)
    learned = ours.policy.trainable()
    assert any(not torch.equal(before[name], weight) for name, weight in learned.items())
    for name, weight in learned.items():
        torch.testing.assert_close(
            own.learner.policy.trainable()[name], weight, rtol=0.0, atol=2e-5
        )
    assert found.left_out == wanted.left_out
    told = {name for name in wanted.metrics if name.startswith(f"lane/{lane}/")}
    assert f"lane/{lane}/units" in told
    assert told <= found.metrics.keys()
    for name in told:
        assert found.metrics[name] == pytest.approx(wanted.metrics[name], rel=1e-3, abs=1e-4), name


def named_anew(episodes: tuple[SealedEpisode, ...]) -> tuple[SealedEpisode, ...]:
    """The same episodes under names of their own."""
    return tuple(
        msgspec.structs.replace(one, generation_id=f"{one.generation_id}-lane") for one in episodes
    )


def test_ktos_baseline_follows_the_policy(plain: LearnerSettings, make_batch: MakeBatch) -> None:
    """From the second pass on it is what mismatched questions and answers say, never below 0."""
    settings = msgspec.structs.replace(plain, lanes=LANES["kto"], passes=3)
    found = through_the_port(OwnTraining(settings), of_lane(make_batch, "kto", plain.model))
    assert found.metrics["lane/kto/kl"] >= 0.0
    assert found.metrics["after/kl/anchor"] > 0.0


def test_the_estimate_of_kl_is_exact_in_expectation(
    make_episode: Callable[..., SealedEpisode],
) -> None:
    """Tokens as often as they are drawn with (1/2, 1/4, 1/4): their mean is KL(policy to base)."""
    drawn, policy, base = (0.5, 0.5, 0.25, 0.25), (0.2, 0.2, 0.3, 0.5), (0.1, 0.1, 0.7, 0.2)
    episode = make_episode(
        completion_token_ids=(7, 7, 8, 9), logprobs=tuple(math.log(p) for p in drawn)
    )
    found = kl_estimate([torch.tensor(policy).log()], [torch.tensor(base).log()], [episode])
    wanted = sum(p * math.log(p / b) for p, b in list(zip(policy, base, strict=True))[1:])
    assert found == pytest.approx(wanted, abs=1e-6)


def test_what_was_drawn_at_another_temperature_is_left_out(
    plain: LearnerSettings, make_batch: MakeBatch
) -> None:
    """Alone, by its rule: a service says log-probabilities at temperature 1."""
    batch = make_batch(3, temperature=0.7)
    found = through_the_port(OwnTraining(plain), batch)
    assert found.left_out == {batch.episodes[0].generation_id: fate.OTHER_TEMPERATURE}


def test_what_a_service_does_not_offer_is_refused_by_name(plain: LearnerSettings) -> None:
    """Every such key stands in one sentence, with the value that it has to have."""
    with pytest.raises(ValueError, match=r"learner\.service\.url") as told:
        msgspec.convert(
            {"service": {"url": "http://127.0.0.1:1", "model": "a/b"}, "average": 0.5},
            LearnerSettings,
        )
    wanted = ("kl_weight = 0.0", "average = 0.0", 'estimator = "tracker"')
    assert all(one in str(told.value) for one in wanted), told.value
