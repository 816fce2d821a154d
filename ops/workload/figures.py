"""Figures: means, quantiles and shares of what a tally counted, None where there is nothing; and how they are written."""

import math
from collections.abc import Sequence


def share(part: float, whole: float) -> float | None:
    """Return part over whole; None of nothing.

    >>> share(1, 4), share(0, 0)
    (0.25, None)
    """
    return part / whole if whole else None


def quantile(values: Sequence[float], at: float) -> float | None:
    """Return the least value that so great a share of all does not pass, the lower of two; None of none.

    >>> quantile([3.0, 1.0, 2.0], 0.5), quantile([1.0, 9.0], 0.5), quantile([], 0.5)
    (2.0, 1.0, None)
    >>> quantile([float(n) for n in range(1, 11)], 0.9)
    9.0
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(math.ceil(at * len(ordered)) - 1, 0)]


def growth(earlier: float, later: float) -> float | None:
    """Return by how much the second half is above the first, as a share; None where that was nothing.

    >>> growth(4, 5)
    0.25
    """
    return later / earlier - 1.0 if earlier else None


def amount(value: float) -> str:
    """Write a count with three digits at least.

    >>> amount(1234567.0), amount(3.25)
    ('1,234,567', '3.2')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.2g}"


def days(value: float) -> str:
    """Write a time given in days, in the unit that fits.

    >>> days(0.01), days(0.25), days(3.0)
    ('14 min', '6.0 h', '3.0 days')
    """
    if not math.isfinite(value):
        return "never"
    if value < 1 / 24:
        return f"{value * 1440:.0f} min"
    return f"{value * 24:.1f} h" if value < 1 else f"{value:.1f} days"
