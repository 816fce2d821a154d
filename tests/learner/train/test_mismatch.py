"""Mismatch: an engine that is asked with one mode or temperature and answers with another is told by its tokens."""

import math
import random
from collections.abc import Callable

import msgspec
import pytest
from lanes_by_hand import apart_from_anchor

from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.mismatch import mismatch_metrics
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.learner.train.update import apply_batch
from rlwd.ops.stages.mismatch_settings import MismatchSettings

MakeBatch = Callable[..., SealedBatch]
BARS = MismatchSettings(tokens=50)


@pytest.fixture
def learner(settings: LearnerSettings) -> Learner:
    """A policy that is sure of some tokens: one that finds all alike is the same at any temperature."""
    return apart_from_anchor(msgspec.structs.replace(settings, ess_floor=1.0))


def served(
    learner: Learner, batch: SealedBatch, asked: float, engine: float, top_p: float
) -> list[SealedEpisode]:
    """Return answers at a temperature, with what an engine says of them that is at another.

    What top-p left is anything from its mass to all.
    """
    draw = random.Random(1)
    asked_for = [msgspec.structs.replace(e, temperature=engine, top_p=1.0) for e in batch.episodes]
    told = []
    for one, logp in zip(asked_for, score(learner, asked_for).logp, strict=True):
        left = [value - math.log(draw.uniform(top_p, 1.0)) for value in logp.tolist()]
        told.append(
            msgspec.structs.replace(
                one, temperature=asked, top_p=top_p, logprobs=tuple(min(v, 0.0) for v in left)
            )
        )
    return told


def test_raw_for_processed_and_a_temperature_that_is_ignored(
    learner: Learner, make_batch: MakeBatch
) -> None:
    """Raw log-probabilities are those of temperature 1; where all answers are cut by top-p it is seen, too."""

    def alarm(asked: float, engine: float, top_p: float) -> str:
        ours = served(learner, make_batch(), asked, engine, top_p)
        return BARS.alarm(mismatch_metrics(ours, score(learner, ours).logp, 0.5))

    for top_p in (1.0, 0.95):
        for asked, engine in ((0.5, 1.0), (1.0, 0.5)):
            assert "k3" in alarm(asked, engine, top_p), (asked, engine, top_p)
            assert alarm(asked, asked, top_p) == "", (asked, top_p)


def test_it_is_told_though_the_ratio_lane_makes_no_step(
    learner: Learner, make_batch: MakeBatch
) -> None:
    """A version of the other lanes says so in its manifest; a batch without a step in its reason."""
    batch = make_batch()
    wrong = msgspec.structs.replace(batch, episodes=tuple(served(learner, batch, 1.0, 0.5, 1.0)))
    with pytest.raises(
        BatchGivenUp, match=r"ess_floor.* learner and engine are apart by \d.* \(k3\)"
    ):
        apply_batch(learner, wrong)
    greedy = [
        msgspec.structs.replace(e, generation_id=f"k{n}", lane="kto", reward=float(n % 2))
        for n, e in enumerate(batch.episodes)
    ]
    both = msgspec.structs.replace(wrong, episodes=(*wrong.episodes, *greedy))
    metrics = apply_batch(learner, both, lanes=lane_parts).metrics
    assert metrics["lane/kto/units"] == 12.0
    assert "k3" in BARS.alarm(metrics)
    assert metrics["before/ratio/ess"] < 1.0
