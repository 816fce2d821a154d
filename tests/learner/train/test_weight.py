"""An episode's weight: 2 is the episode twice, 0 is the episode left out, 1 is what it always was."""

import math
from collections.abc import Callable, Sequence

import msgspec
import pytest
import torch
from tiny_learner import TINY

from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.estimators.segment_counts import SegmentCounts
from rlwd.learner.estimators.token_advantage import token_advantages
from rlwd.learner.estimators.tracker import Tracker
from rlwd.learner.sealed import SealedBatch, SealedEpisode, batch_hash
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.evidence import held_out_estimate
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import add_gradients, step
from rlwd.learner.train.update import apply_batch
from rlwd.learner.train.weight import token_weight

MakeBatch = Callable[..., SealedBatch]
MakeEpisode = Callable[..., SealedEpisode]


def weighed(batch: SealedBatch, weights: Sequence[float]) -> SealedBatch:
    """The batch with these weights on its first episodes."""
    given = [*weights, *[1.0] * (len(batch.episodes) - len(weights))]
    episodes = tuple(
        msgspec.structs.replace(one, weight=weight)
        for one, weight in zip(batch.episodes, given, strict=True)
    )
    return msgspec.structs.replace(batch, episodes=episodes)


def step_of(settings: LearnerSettings, batch: SealedBatch) -> dict[str, torch.Tensor]:
    """The gradient of one step on all of a batch, the anchor's pull in it."""
    learner = Learner(settings)
    with torch.no_grad():  # Away from the anchor, so that the KL pulls.
        for parameter in learner.policy.trainable().values():
            draw = torch.Generator().manual_seed(parameter.numel())
            parameter += 0.02 * torch.randn(parameter.shape, generator=draw)
    values = [0.5] * len(batch.episodes)
    tokens = [e.weight * len(e.completion_token_ids) for e in batch.episodes]
    scaled = standardised([e.reward for e in batch.episodes], values, tokens, floor=0.05)
    old = score(learner, batch.episodes, anchor=True)
    add_gradients(
        learner,
        range(len(batch.episodes)),
        batch.episodes,
        [
            token_advantages(e, a, 0.0)
            for e, a in zip(batch.episodes, scaled, strict=True)
            if a is not None
        ],
        old,
        token_weight(batch.episodes),
    )
    step(learner)
    return {n: p.grad.clone() for n, p in learner.policy.trainable().items() if p.grad is not None}


def test_two_is_the_episode_twice(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Policy gradient, KL, normaliser and spread of weights 2 and 3 are those of copies."""
    loose = msgspec.structs.replace(settings, clip_norm=1e9, kl_weight=0.5, ratio_mask=0.0)
    batch = make_batch()
    first, second, *rest = batch.episodes
    copies = msgspec.structs.replace(batch, episodes=(first, first, second, second, second, *rest))
    heavy, twice = step_of(loose, weighed(batch, (2.0, 3.0))), step_of(loose, copies)
    light = step_of(loose, batch)
    assert heavy.keys() == twice.keys()
    for name, gradient in heavy.items():
        torch.testing.assert_close(gradient, twice[name], rtol=1e-4, atol=1e-7)
    assert any(not torch.allclose(light[n], g, rtol=1e-2, atol=1e-6) for n, g in heavy.items())


def test_nothing_is_the_episode_left_out(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """A batch with weights of 0 gives the bits of one without these episodes, and names them."""
    one, other = Learner(settings), Learner(settings)
    batch = make_batch()
    got = apply_batch(one, weighed(batch, (0.0, 0.0)))
    apply_batch(other, msgspec.structs.replace(batch, episodes=batch.episodes[2:]))
    for mine, theirs in zip(
        (one.policy.trainable(), one.moments()),
        (other.policy.trainable(), other.moments()),
        strict=True,
    ):
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    assert one.estimators.state()[0] == other.estimators.state()[0]
    names = {e.generation_id for e in batch.episodes[:2]}
    assert got.left_out == dict.fromkeys(names, "excluded:no_weight")
    assert got.metrics["episodes/no_weight"] == 2.0


def test_a_half_pulls_half(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """All weights a half change nothing but what a segment borrows; the metrics say what they were."""
    settings = msgspec.structs.replace(settings, parent_count=0.0)
    one, other = Learner(settings), Learner(settings)
    batch = make_batch()
    got = apply_batch(one, weighed(batch, [0.5] * len(batch.episodes)))
    plain = apply_batch(other, batch)
    assert got.metrics["grad_norm"] == pytest.approx(plain.metrics["grad_norm"], rel=1e-4)
    assert (got.metrics["weight/mean"], got.metrics["weight/effective_share"]) == (0.5, 1.0)
    assert plain.metrics["weight/mean"] == plain.metrics["weight/min"] == 1.0


def test_baselines_by_weight(make_episode: MakeEpisode) -> None:
    """Others count by their weight, the episode's own reward not at all, whatever it weighs."""
    tracker = Tracker(TINY, {})
    three = [
        make_episode(reward=1.0, weight=5.0),
        make_episode(reward=0.0, weight=3.0),
        make_episode(reward=1.0, weight=1.0),
    ]
    assert tracker.baselines(three) == [1 / 4, 1.0, 5 / 8]


def test_evidence_by_weight(make_episode: MakeEpisode) -> None:
    """Weight 2 is two rewards of the same, two halves are one, and a start is worth its weight."""

    def told(*episodes: SealedEpisode) -> SegmentCounts:
        tracker = Tracker(TINY, {"mail": SegmentCounts(alpha=4.0, beta=4.0, drift=0.01)})
        tracker.observe(episodes)
        return tracker.segments["mail"]

    twice, heavy = (
        told(*[make_episode(reward=0.25)] * 2),
        told(make_episode(reward=0.25, weight=2.0)),
    )
    assert msgspec.structs.astuple(heavy) == pytest.approx(msgspec.structs.astuple(twice))
    assert told(make_episode(weight=1.0)).drift == 0.0
    assert told(make_episode(weight=0.25)).drift == pytest.approx(0.0075)
    new = Tracker(TINY, {})
    new.observe([make_episode(reward=1.0, weight=0.5), make_episode(reward=0.0, weight=1.5)])
    assert new.segments["mail"] == SegmentCounts(alpha=0.5, beta=1.5, segment="mail")


def test_held_out_by_weight() -> None:
    """Of the gate's evidence an episode of weight 3 is three, and one of 0 none."""
    heavy = held_out_estimate([0.0, math.log(2.0)], [0.0, 1.0], [3.0, 1.0])
    copies = held_out_estimate([0.0, 0.0, 0.0, math.log(2.0)], [0.0, 0.0, 0.0, 1.0])
    assert heavy is not None
    assert copies is not None
    assert heavy.behaviour == copies.behaviour == 0.25
    assert heavy.estimate == pytest.approx(copies.estimate)
    assert heavy.estimate == pytest.approx(2 / 5)


def test_a_weight_of_one_is_not_written(make_batch: MakeBatch) -> None:
    """What was sealed before there were weights has the same bytes and hash; another weight has not."""
    batch = make_batch()
    assert b"weight" not in msgspec.json.encode(batch)
    heavy = weighed(batch, (2.0,))
    raw = msgspec.json.encode(heavy)
    assert b'"weight":2.0' in raw
    assert msgspec.json.decode(raw, type=SealedBatch) == heavy
    assert batch_hash(heavy) != batch_hash(batch)
    with pytest.raises(msgspec.ValidationError, match="weight"):
        msgspec.json.decode(raw.replace(b'"weight":2.0', b'"weight":-2.0'), type=SealedBatch)
