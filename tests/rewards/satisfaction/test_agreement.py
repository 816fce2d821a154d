"""Agreement is what the formulas say, on cases worked out by hand."""

import pytest

from rlwd.rewards.satisfaction.agreement import BIN_MESSAGES, agreement


def test_by_hand() -> None:
    """Two values, half of each side right."""
    values = [0.9] * 100 + [0.2] * 100
    labels = [True] * 80 + [False] * 20 + [True] * 30 + [False] * 70
    found = agreement(values, labels)
    assert found.accuracy == pytest.approx(0.75)
    # Chance: half of what is said and 0.55 of what is so are satisfied.
    assert found.kappa == pytest.approx((0.75 - 0.5) / 0.5)
    assert [one.said for one in found.bins] == pytest.approx([0.2, 0.9])
    assert [one.was for one in found.bins] == pytest.approx([0.3, 0.8])
    assert [one.count for one in found.bins] == [100, 100]
    assert found.calibration_error == pytest.approx(0.1)
    # Pairs: 80 * 70 right, 80 * 20 and 30 * 70 tied, 30 * 20 wrong, of 110 * 90.
    assert found.ranks == pytest.approx((80 * 70 + 0.5 * (80 * 20 + 30 * 70)) / (110 * 90))


def test_a_curve_has_no_bin_of_a_few() -> None:
    """A bin of a few measures chance; one value is one bin."""
    found = agreement([n / 119 for n in range(120)], [n % 2 == 0 for n in range(120)])
    assert [one.count for one in found.bins] == [50, 70]
    assert len(agreement([0.5] * 1000, [True, False] * 500).bins) == 1
    assert all(
        one.count >= BIN_MESSAGES
        for one in agreement([n / 999 for n in range(1000)], [True, False] * 500).bins
    )


def test_what_cannot_be_compared() -> None:
    """Nothing, or values and labels that are not as many."""
    with pytest.raises(ValueError, match="0 values"):
        agreement([], [])
    with pytest.raises(ValueError, match="1 values for 2"):
        agreement([0.5], [True, False])
    assert agreement([0.9, 0.8], [True, True]).ranks == 0.5
