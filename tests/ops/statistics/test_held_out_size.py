"""Held-out sizes, against gates that are simulated with them."""

import numpy as np
import pytest

from rlwd.learner.train.evidence import held_out_estimate
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.held_out_size import held_out_size

SETTINGS = GateSettings(margin=0.1)


def refused(loss: float, episodes: int, gates: int = 500) -> float:
    """Return the share of gates that refuse a candidate which moves mass from good answers to bad.

    Answers are good or bad; half of those served were good, and the candidate draws good ones less
    often by `loss`, so its log-ratios are log(1 -+ 2 loss).
    """
    generator = np.random.default_rng(31)
    found = 0
    for _ in range(gates):
        good = generator.random(episodes) < 0.5
        ratios = np.log(np.where(good, 1 - 2 * loss, 1 + 2 * loss))
        seen = held_out_estimate([float(x) for x in ratios], [float(x) for x in good])
        assert seen is not None
        best = seen.estimate + SETTINGS.z * seen.standard_error
        found += best < seen.behaviour - SETTINGS.margin
    return found / gates


def test_a_loss_of_twice_the_margin_is_refused_as_promised() -> None:
    """With the size that the formula gives, in 4 of 5 gates or more; a tenth of it misses it mostly.

    One episode's term is w (r - estimate) - (r - served) here, with a deviation of 0.3 or less.
    """
    size = held_out_size(SETTINGS.margin, deviation=0.3, z=SETTINGS.z)
    assert refused(0.2, size) >= 0.78
    assert refused(0.2, max(5, size // 10)) < refused(0.2, size)


def test_an_equal_candidate_is_not_refused() -> None:
    """Weights of one leave no difference and no error."""
    assert refused(0.0, 50) == 0


@pytest.mark.parametrize("margin", [0.0, -0.1, float("nan")])
def test_no_margin_is_no_size(margin: float) -> None:
    """No number of episodes shows a loss of nothing."""
    with pytest.raises(ValueError, match="it must be above 0"):
        held_out_size(margin, deviation=0.3)


def test_half_the_margin_takes_four_times_as_many() -> None:
    """The size grows with one over the margin squared."""
    assert held_out_size(0.05, deviation=0.5) == pytest.approx(
        4 * held_out_size(0.1, deviation=0.5), rel=0.01
    )
