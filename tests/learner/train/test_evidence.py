"""What held-out episodes say, by hand."""

import math
import random
from collections.abc import Callable

import pytest

from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.train.evidence import held_out_estimate, measured_after


def test_worked_example() -> None:
    """Weights 1 and 3 on rewards 0 and 1: the estimate leans to the likelier answer."""
    got = held_out_estimate([0.0, math.log(3.0)], [0.0, 1.0])
    assert got is not None
    assert (got.count, got.behaviour) == (2, 0.5)
    assert got.estimate == pytest.approx(0.75)
    assert got.effective_sample_size == pytest.approx(1.6)
    # w / mean(w) is 0.5 and 1.5: 0.5 * -0.75 + 0.5 and 1.5 * 0.25 - 0.5, squared, over 2 * 1.
    assert got.standard_error == pytest.approx(math.sqrt((0.125**2 + 0.125**2) / 2))


def test_same_policy() -> None:
    """Where nothing changed the estimate is what was served and its error is zero."""
    got = held_out_estimate([0.0] * 4, [1.0, 0.0, 0.0, 1.0])
    assert got is not None
    assert (got.behaviour, got.estimate, got.standard_error) == (0.5, 0.5, 0.0)
    assert got.effective_sample_size == 4.0


def test_few() -> None:
    """Of nothing there is no evidence; of one episode it is worth nothing."""
    assert held_out_estimate([], []) is None
    one = held_out_estimate([1000.0], [1.0])
    assert one is not None
    assert (one.estimate, one.standard_error) == (1.0, 1.0)


def test_what_is_measured_after(make_episode: Callable[..., SealedEpisode]) -> None:
    """Of each stratum a sample of 512 tokens or a little more, of a small one all, by the draw alone."""
    many = [make_episode(segment="mail", completion_token_ids=(1,) * 100)] * 40
    few = [make_episode(segment="code", completion_token_ids=(1,) * 10)] * 5
    episodes = [*many, *few]
    found = measured_after(episodes, random.Random("a"))
    assert found == measured_after(episodes, random.Random("a"))
    assert found != measured_after(episodes, random.Random("b"))
    assert found[-5:] == [40, 41, 42, 43, 44]
    assert len(found) == 6 + 5
