"""KTO: the lane's loss as the paper has it, written a second time; and what it does to a policy."""

import random
from collections.abc import Callable

import msgspec
import pytest
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
from rlwd.learner.lanes.kto import KtoPart, balance, kto_episodes
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.lanes.tensors import OwnTensors
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.learner.train.update import apply_batch
from rlwd.streams.join import fate

MakeEpisode = Callable[..., SealedEpisode]
MakeBatch = Callable[..., SealedBatch]


def greedy(make_episode: MakeEpisode, count: int = 8) -> list[SealedEpisode]:
    """Answers at temperature 0 without log-probabilities; every third was liked."""
    draw = random.Random(5)
    return [
        make_episode(
            generation_id=f"g{index}",
            prompt_token_ids=tuple(draw.randrange(250) for _ in range(3 + index % 3)),
            completion_token_ids=tuple(draw.randrange(250) for _ in range(2 + index % 4)),
            logprobs=(),
            temperature=0.0,
            reward=1.0 if index % 3 == 0 else 0.2,
            weight=1.0 + index % 2,
            lane="kto",
        )
        for index in range(count)
    ]


def of_lane(make_batch: MakeBatch, episodes: list[SealedEpisode]) -> SealedBatch:
    """A batch of nothing else."""
    return msgspec.structs.replace(make_batch(), episodes=tuple(episodes), held_out=())


def test_the_gradient_is_the_papers(settings: LearnerSettings, make_episode: MakeEpisode) -> None:
    """Equation 8 in plain PyTorch, float64, episode by episode, gives the same gradient."""
    learner, episodes = apart_from_anchor(settings), greedy(make_episode)
    part = KtoPart(OwnTensors(learner), episodes, batch_id=1)
    ours = gradients_of_part(learner, part)
    beta, apart, pulls = settings.lanes.kto_beta, [], []
    for episode in episodes:
        policy = rows(learner, episode)
        with learner.policy.as_anchor():
            anchor = rows(learner, episode)
        apart.append((chosen(policy, episode) - chosen(anchor, episode)).sum())
        pulls.append(float((policy.exp() * (policy - anchor)).sum().detach()))
    z = sum(pulls) / len(pulls)
    worth = [e.weight * abs(2 * e.reward - 1) for e in episodes]
    liked = sum(w for w, e in zip(worth, episodes, strict=True) if e.reward > 0.5)
    half = sum(worth) / 2
    loss = torch.zeros((), dtype=torch.float64)
    for w, s, episode in zip(worth, apart, episodes, strict=True):
        if episode.reward > 0.5:
            loss = loss + w * half / liked * (1 - torch.sigmoid(beta * (s - z)))
        else:
            w *= learner.settings.negative_weight
            loss = loss + w * half / (2 * half - liked) * (1 - torch.sigmoid(beta * (z - s)))
    tokens = sum(e.weight * len(e.completion_token_ids) for e in episodes)
    assert_equal(ours, gradients_of(learner, loss * 4 / beta / tokens * settings.lanes.kto))


def test_what_has_moved_far_enough_pulls_no_more(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """Once the policy has left the trust region on the side that is pushed to, nothing is left to push."""
    learner, episodes = apart_from_anchor(settings), greedy(make_episode)
    part = KtoPart(OwnTensors(learner), episodes, batch_id=1)
    assert any(float(one.abs().max()) > 0 for one in gradients_of_part(learner, part))
    assert part.sums["masked"] == 0.0
    liked = [one.reward > 0.5 for one in episodes]
    part.reference.policy[:] = [
        logp + (-0.3 if up else 0.3) for logp, up in zip(part.reference.policy, liked, strict=True)
    ]
    assert not any(float(one.abs().max()) > 0 for one in gradients_of_part(learner, part))
    part.reference.policy[:] = [
        logp + (0.6 if up else -0.6) for logp, up in zip(part.reference.policy, liked, strict=True)
    ]
    assert any(float(one.abs().max()) > 0 for one in gradients_of_part(learner, part))


def test_a_pass_of_several_steps_is_the_whole(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """The gradients of a pass's steps are on average that of all episodes at once."""
    learner = apart_from_anchor(settings)
    part = KtoPart(OwnTensors(learner), greedy(make_episode), batch_id=1)
    whole = gradients_of_part(learner, part)
    learner.optimizer.zero_grad()
    for step in range(3):
        part.backward(step, 3)
    grads = [p.grad for p in learner.policy.trainable().values()]
    assert_equal([one / 3 for one in grads if one is not None], whole)


def test_few_pull_less(settings: LearnerSettings, make_episode: MakeEpisode) -> None:
    """Two episodes where a step has four pull with half the lane's weight; eight with all of it."""
    learner = Learner(settings)
    few = KtoPart(OwnTensors(learner), greedy(make_episode, 2), batch_id=1)
    assert few.pull * sum(e.weight * len(e.completion_token_ids) for e in few.taught) == 0.5
    many = KtoPart(OwnTensors(learner), greedy(make_episode), batch_id=1)
    total = sum(e.weight * len(e.completion_token_ids) for e in many.taught)
    assert many.pull * total == pytest.approx(1.0)


def test_the_rarer_side_counts_more_up_to_a_bound() -> None:
    """One thumb up among a hundred down is worth four of them, and not a hundred."""
    assert balance(1.0, 99.0) == pytest.approx((4.0, 50 / 99))
    assert balance(3.0, 3.0) == (1.0, 1.0)


def test_a_half_but_for_rounding_is_on_no_side(make_episode: MakeEpisode) -> None:
    """What was taken off a reward for latency may leave a half and a hair: no batch has spread by that."""
    half = make_episode(lane="kto", reward=0.7, confound=0.2)
    good, bad = (make_episode(lane="kto", reward=reward) for reward in (1.0, 0.0))
    assert half.earned != 0.5
    assert kto_episodes([half, good]) == []
    assert kto_episodes([half, good, bad]) == [good, bad]


def test_liked_answers_rise_and_disliked_fall(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: MakeBatch
) -> None:
    """A batch of greedy answers alone teaches; equal answers at both sides would not."""
    learner, episodes = Learner(settings), greedy(make_episode, 24)
    plain = [KtoPart(OwnTensors(learner), episodes, batch_id=1)][0].taught
    before = [float(one.sum()) for one in score(learner, plain).logp]
    update = apply_batch(learner, of_lane(make_batch, episodes), lanes=lane_parts)
    after = [float(one.sum()) for one in score(learner, plain).logp]
    rose = [now - was for now, was in zip(after, before, strict=True)]
    up = [r for r, e in zip(rose, episodes, strict=True) if e.reward > 0.5]
    down = [r for r, e in zip(rose, episodes, strict=True) if e.reward < 0.5]
    assert sum(up) / len(up) > 0.1, (up, down)
    assert sum(down) / len(down) < -0.1, (up, down)
    assert update.left_out == {}
    assert update.held_out is None
    assert update.metrics["lane/kto/units"] == 24.0
    assert update.metrics["lane/kto/liked"] == pytest.approx(8 / 24)
    assert update.metrics["lane/kto/reward"] == pytest.approx((8 + 16 * 0.2) / 24)
    assert update.metrics["drift"] > 0.0
    assert update.metrics["after/kl/anchor"] > 0.0
    assert not [name for name in update.metrics if "ratio" in name or "mismatch" in name]


def test_both_lanes_learn_in_the_same_steps(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: MakeBatch
) -> None:
    """A batch of both reports both; the lane at weight 0 leaves the ratio lane's bits alone."""
    batch = make_batch()
    both = msgspec.structs.replace(batch, episodes=(*batch.episodes, *greedy(make_episode)))
    metrics = apply_batch(Learner(settings), both, lanes=lane_parts).metrics
    assert metrics["lane/kto/units"] == 8.0
    assert metrics["episodes/trained"] == 12.0
    off = msgspec.structs.replace(settings, lanes=LaneSettings(kto=0.0))
    one, other = Learner(off), Learner(settings)
    update = apply_batch(one, both, lanes=lane_parts)
    assert update.left_out == dict.fromkeys((f"g{n}" for n in range(8)), fate.NO_SPREAD)
    apply_batch(other, batch, lanes=lane_parts)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            one.policy.trainable().values(), other.policy.trainable().values(), strict=True
        )
    )


def test_a_lanes_reward_is_of_what_it_learned_from(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: MakeBatch
) -> None:
    """Answers that were meant for KTO and only imitated count as SFT's alone."""
    liked = [msgspec.structs.replace(one, reward=0.9) for one in greedy(make_episode)]
    meant = [msgspec.structs.replace(one, lane="kto+sft") for one in liked]
    learner = Learner(msgspec.structs.replace(settings, lanes=LaneSettings(sft=1.0)))
    batch = make_batch()
    both = msgspec.structs.replace(batch, episodes=(*batch.episodes, *meant))
    metrics = apply_batch(learner, both, lanes=lane_parts).metrics
    told = {name for name in metrics if name.startswith("reward/lane/")}
    assert told == {"reward/lane/ratio", "reward/lane/sft"}
    assert metrics["reward/lane/sft"] == pytest.approx(0.9)


def test_nothing_but_liked_answers_is_no_step(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: MakeBatch
) -> None:
    """Where everything was liked nothing says what is better than what."""
    liked = [msgspec.structs.replace(one, reward=0.9) for one in greedy(make_episode)]
    assert kto_episodes(liked) == []
    with pytest.raises(BatchGivenUp, match="no_spread"):
        apply_batch(Learner(settings), of_lane(make_batch, liked), lanes=lane_parts)


def test_the_same_batch_gives_the_same_bits(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: MakeBatch
) -> None:
    """Applied again to the same weights, the lane ends at the same ones."""
    batch = of_lane(make_batch, greedy(make_episode))
    one, other = Learner(settings), Learner(settings)
    for learner in (one, other):
        apply_batch(learner, batch, lanes=lane_parts)
    pairs = zip(one.policy.trainable().values(), other.policy.trainable().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
