"""Rank agreement: whether two numberings put the same things in the same order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SAME = 1e-9
"""Rewards and advantages that differ by less are the same."""


def spearman(a: Floats, b: Floats) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None where one has no spread."""
    if len(a) < 2:
        return None
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread else None


def ranks(values: Floats) -> Floats:
    """Return each value's rank from 0, ties at their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean: Floats = last - (count + 1) / 2.0
    return mean[place]


def kendall(a: Floats, b: Floats) -> float | None:
    """Return Kendall's tau-b; None where one of them has no spread.

    Of all pairs the share that both put in the same order, less that which they put in opposite ones,
    pairs that are tied in one of them made up for (Kendall, Biometrika 33, 1945). O(n log n).

    >>> kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    0.3333333333333333
    """
    count = len(a)
    if count < 2:
        return None
    _, x = np.unique(a, return_inverse=True)
    _, y = np.unique(b, return_inverse=True)
    both = x.astype(np.int64) * (int(y.max()) + 1) + y
    pairs = count * (count - 1) // 2
    tied_x, tied_y, tied = _tied(x), _tied(y), _tied(both)
    spread = (pairs - tied_x) * (pairs - tied_y)
    if not spread:
        return None
    against = _inversions(y[np.argsort(both, kind="stable")])
    return float((pairs - tied_x - tied_y + tied - 2 * against) / np.sqrt(float(spread)))


def _tied(values: NDArray[Any]) -> int:
    """Return how many pairs have the same value."""
    _, count = np.unique(values, return_counts=True)
    return int((count * (count - 1) // 2).sum())


def _inversions(places: NDArray[Any]) -> int:
    """Return how many pairs stand with the greater one first.

    Bit by bit from the highest: among those that are alike above it, each 0 stands behind so many 1s.
    """
    found, values = 0, places
    for bit in reversed(range(int(places.max()).bit_length())):
        above = values >> (bit + 1)
        values = values[np.argsort(above, kind="stable")]
        above, ones = values >> (bit + 1), (values >> bit) & 1
        before = np.cumsum(ones)
        begins = np.flatnonzero(np.r_[True, above[1:] != above[:-1]])
        outside = (before - ones)[begins]
        sizes = np.diff(np.r_[begins, len(values)])
        found += int((before - np.repeat(outside, sizes))[ones == 0].sum())
    return found


def sign_of(values: Floats) -> NDArray[np.int_]:
    """Return -1, 0 or 1 of each; 0 of what is as good as 0, and of nan."""
    return np.where(np.abs(values) < SAME, 0, np.nan_to_num(np.sign(values))).astype(int)


def mean_of(values: Floats) -> float | None:
    """Return the mean; None of nothing."""
    return float(values.mean()) if len(values) else None
