"""The effective sample size of the importance ratios, and the floor below which no step is made."""

import math
from collections.abc import Callable

import msgspec
import pytest
import torch

from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.loss import effective_share, first_pulls, pull_sums
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.learner.train.update import apply_batch
from rlwd.learner.trust_region import PRESETS, Name

MakeBatch = Callable[..., SealedBatch]


def share(name: Name, ratios: list[list[float]], advantages: list[list[float]]) -> float:
    """Return the share of answers whose tokens have these ratios at a probability of 1/10."""
    settings = LearnerSettings(trust_region=name)
    logp = [torch.full((len(each),), math.log(0.1)) for each in ratios]
    behaviour = [now - torch.tensor(each).log() for now, each in zip(logp, ratios, strict=True)]
    given = [torch.tensor(each) for each in advantages]
    pulls_M = first_pulls(logp, behaviour, given, settings)
    return effective_share(pull_sums(pulls_M, torch.cat(given), settings))


@pytest.mark.parametrize(
    ("name", "ratios", "advantages", "wanted"),
    [
        # 4 counts as 2; a token without an advantage is none.
        ("truncated", [[1.0, 1.0, 4.0], [9.0]], [[1.0, -3.0, 0.5], [0.0]], 16 / 18),
        # 4 is masked where it is to rise, 0.5 where it is to fall.
        ("clipped", [[1.0, 4.0], [0.5, 0.5]], [[1.0, 1.0], [-1.0, 1.0]], 2.25 / 2.5),
        # The weight of pi_old / mu, cut at 2; none is masked before the first step.
        ("decoupled", [[1.0, 4.0], [0.5]], [[1.0, 1.0], [-1.0]], 3.5**2 / (3 * 5.25)),
        # One ratio an answer: the geometric mean; out of 3e-4 below where it is to fall.
        ("gspo", [[0.5, 2.0], [0.25]], [[1.0, 1.0], [1.0]], 2.25**2 / (3 * 2.0625)),
        ("geometric", [[1.0, 1.0], [4.0]], [[1.0, 1.0], [1.0]], 1.0),
        ("icepop", [[0.1, 9.0]], [[1.0, -1.0]], 0.0),
    ],
)
def test_by_hand(
    name: Name, ratios: list[list[float]], advantages: list[list[float]], wanted: float
) -> None:
    """It is Kish's, over the tokens that pull, with the ratio that the trust region lets count."""
    assert share(name, ratios, advantages) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_the_first_step_says_the_same(
    name: Name, settings: LearnerSettings, make_batch: MakeBatch
) -> None:
    """What is found before the first step is what a step on the whole batch finds."""
    whole = msgspec.structs.replace(
        settings, trust_region=name, minibatch_episodes=64, ess_floor=0.0, passes=1
    )
    metrics = apply_batch(Learner(whole), make_batch()).metrics
    assert metrics["ess/least"] == pytest.approx(metrics["ess/before"], rel=1e-4)


def apart(batch: SealedBatch) -> SealedBatch:
    """Return a batch of which one answer alone is as likely as when it was served."""
    far = tuple(
        msgspec.structs.replace(e, logprobs=(-1e-3,) * len(e.logprobs)) for e in batch.episodes[1:]
    )
    return msgspec.structs.replace(batch, episodes=(batch.episodes[0], *far))


def test_no_step_below_the_floor(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """A batch whose weight lies on one answer is given up, by name, and nothing has changed."""
    learner, batch = Learner(settings), apart(make_batch(reward=1.0))
    before = learner.snapshot()
    with pytest.raises(BatchGivenUp, match=r"learner\.ess_floor is 0\.3") as given_up:
        apply_batch(learner, batch)
    names = {episode.generation_id for episode in (*batch.episodes, *batch.held_out)}
    assert given_up.value.left_out == dict.fromkeys(names, "excluded:low_ess")
    after = learner.snapshot()
    assert all(torch.equal(after.weights[name], w) for name, w in before.weights.items())
    assert (after.moments, after.estimators[0]) == ({}, before.estimators[0])
    learner.settings = msgspec.structs.replace(settings, ess_floor=0.0)
    assert apply_batch(learner, batch).metrics["ess/before"] < 0.3


def test_other_lanes_learn_on(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Where another lane has episodes of the batch, the ratio lane's alone are left out."""
    batch = apart(make_batch(reward=1.0))
    greedy = [
        msgspec.structs.replace(e, generation_id=f"k{n}", lane="kto", reward=float(n % 2))
        for n, e in enumerate(batch.episodes)
    ]
    both = msgspec.structs.replace(batch, episodes=(*batch.episodes, *greedy))
    update = apply_batch(Learner(settings), both, lanes=lane_parts)
    assert update.left_out == {e.generation_id: "excluded:low_ess" for e in batch.episodes}
    assert (update.metrics["lane/kto/units"], update.metrics["episodes/trained"]) == (12.0, 0.0)
    assert update.metrics["ess/before"] < 0.3


def test_passes_end_early(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Once the steps have driven the ratios apart no further pass is begun; the steps made stay."""
    driven = msgspec.structs.replace(
        settings,
        trust_region="truncated",
        learning_rate=0.1,
        ess_floor=0.0,
        minibatch_episodes=64,
    )
    free = apply_batch(Learner(driven), make_batch()).metrics
    assert free["steps"] == 2.0
    assert free["ess/least"] < free["ess/before"]
    floor = (free["ess/least"] + free["ess/before"]) / 2
    held = apply_batch(
        Learner(msgspec.structs.replace(driven, ess_floor=floor)), make_batch()
    ).metrics
    assert held["steps"] == 1.0
    assert held["ess/last"] == free["ess/last"] < floor < held["ess/before"]
    assert held["drift"] > 0.0
