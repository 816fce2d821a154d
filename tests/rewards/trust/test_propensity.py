"""Who was asked and who answered: those who did stand for those who did not."""

import math
import random

import pytest
from evidence_by_hand import evidence

from rlwd.rewards.spec.verification import Verification
from rlwd.rewards.trust.propensity import (
    ResponseFeatures,
    ResponseModel,
    ask_probability,
    inverse_weights,
)


def features(rows: list[tuple[str, float, float, float]]) -> ResponseFeatures:
    """Segment, latency, tokens and time of each answer."""
    segments, latency, tokens, at = (list(one) for one in zip(*rows, strict=True))
    return ResponseFeatures(segments, latency, tokens, at)


def test_inverse_probabilities_with_a_floor() -> None:
    """One of a hundred weighs as one of four where the floor says so; the mean is 1."""
    assert inverse_weights([1.0, 0.5, 0.01], 0.25) == pytest.approx([3 / 7, 6 / 7, 12 / 7])
    assert inverse_weights([], 0.1) == []


def test_what_is_said_of_asking_counts() -> None:
    """The signal's own probability, else the proliferation of the spec's profile."""
    rare = Verification(proliferation=0.2)
    assert ask_probability(evidence(asked=0.5, verification=rare)) == 0.5
    assert ask_probability(evidence(verification=rare)) == 0.2
    assert ask_probability(evidence()) == 1.0


def test_a_model_of_who_answers_finds_what_it_was_made_of() -> None:
    """Answers fall off with latency and by segment: the chances are found, of new answers too."""
    draw = random.Random(3)

    def chance(segment: str, latency: float) -> float:
        lean = (0.8 if segment == "mail" else -0.6) - 1.0 * math.log(latency)
        return 1.0 / (1.0 + math.exp(-lean))

    rows = [
        (
            draw.choice(["mail", "code"]),
            draw.lognormvariate(0.0, 0.7),
            draw.uniform(10, 400),
            draw.uniform(0, 1e6),
        )
        for _ in range(4000)
    ]
    decided = [draw.random() < chance(segment, latency) for segment, latency, _, _ in rows]
    model = ResponseModel.fit(features(rows), decided)
    assert model is not None
    for segment in ("mail", "code"):
        for latency in (0.5, 1.0, 3.0):
            (got,) = model.probabilities(features([(segment, latency, 100.0, 4e4)]))
            assert got == pytest.approx(chance(segment, latency), abs=0.07)
    assert model.probabilities(features([("new", 1.0, 100.0, 0.0)])) == [1.0]


def test_too_little_is_no_model() -> None:
    """Of a hundred answers, or where all are decided on, nothing is fitted."""
    rows = [("mail", 1.0, 10.0, float(i)) for i in range(400)]
    assert ResponseModel.fit(features(rows[:100]), [True, False] * 50) is None
    assert ResponseModel.fit(features(rows), [True] * 400) is None
