"""Imitation: the lane's loss, written a second time; and that it starts a policy cold."""

import random
from collections.abc import Callable

import msgspec
import torch
from lanes_by_hand import (
    apart_from_anchor,
    assert_equal,
    chosen,
    gradients_of,
    gradients_of_part,
    rows,
)

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.lanes.imitation import ImitationPart
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeEpisode = Callable[..., SealedEpisode]
SFT = LaneSettings(sft=0.7)


def imported(make_episode: MakeEpisode, count: int = 6) -> list[SealedEpisode]:
    """Accepted answers of another model, to each prompt the same."""
    draw = random.Random(4)
    return [
        make_episode(
            generation_id=f"i{index}",
            version="",
            age=-1,
            prompt_token_ids=tuple(draw.randrange(250) for _ in range(3 + index % 3)),
            completion_token_ids=(40, 41, 42, 43, 256)[index % 2 :],
            logprobs=(),
            weight=1.0 + index % 2,
            lane="sft",
        )
        for index in range(count)
    ]


def test_the_gradient_is_of_the_likelihood_and_the_kl(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """In plain PyTorch and float64 it is the same, over the lane's own tokens."""
    learner = apart_from_anchor(msgspec.structs.replace(settings, lanes=SFT))
    episodes = imported(make_episode)
    ours = gradients_of_part(learner, ImitationPart(learner, episodes, batch_id=1))
    loss, tokens = torch.zeros((), dtype=torch.float64), 0.0
    for episode in episodes:
        policy = rows(learner, episode)
        with learner.policy.as_anchor():
            anchor = rows(learner, episode)
        kl = (policy.exp() * (policy - anchor)).sum()
        loss = loss + episode.weight * (settings.kl_weight * kl - chosen(policy, episode).sum())
        tokens += episode.weight * len(episode.completion_token_ids)
    assert_equal(ours, gradients_of(learner, loss / tokens * SFT.sft))


def test_a_policy_is_started_cold(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: Callable[..., SealedBatch]
) -> None:
    """One batch of imported answers makes them ten times as likely, token by token."""
    learner = Learner(msgspec.structs.replace(settings, lanes=SFT, passes=6))
    episodes = imported(make_episode, 16)
    plain = ImitationPart(learner, episodes, batch_id=1).taught

    def likely() -> float:
        return sum(float(one.mean()) for one in score(learner, plain).logp) / len(plain)

    before = likely()
    batch = msgspec.structs.replace(make_batch(), episodes=tuple(episodes), held_out=())
    update = apply_batch(learner, batch, lanes=lane_parts)
    assert likely() > before + 2.3
    assert before < update.metrics["lane/sft/likelihood"] < likely()
