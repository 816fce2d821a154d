"""What held-out episodes say, by hand."""

import math

import pytest

from rlwd.learner.train.evidence import held_out_estimate


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
