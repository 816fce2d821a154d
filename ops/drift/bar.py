"""Bar: how far a behaviour's mean may be from its reference's, and whether it is shown to be further.

A bar above 0 is of a rise, one below 0 of a fall. Pure; the interval comes from `ops/statistics`.
"""

import math

from ..statistics.sequential_tests import Mean

HALF = 0.5
"""A fall is past its bar, too, once so much of what the reference had is gone: where there is less than the
bar to lose, nothing could ever pass it."""
LEAST = 1 / 3
"""But not before it is so much of the bar: half of next to nothing is nothing."""


def bar_of(bar: float, reference: float) -> tuple[float, str]:
    """Return the bar beside a reference of such a mean, and why it is not the one that was asked for.

    >>> bar_of(0.1, 0.05), bar_of(-0.15, 0.5)
    ((0.1, ''), (-0.15, ''))
    >>> bar_of(-0.15, 0.2), bar_of(-0.15, 0.04)
    ((-0.1, 'half of the reference'), (-0.05, 'a third of the bar'))
    """
    half, least = -HALF * reference, LEAST * bar
    if bar >= 0 or min(half, least) <= bar:
        return bar, ""
    return (half, "half of the reference") if half < least else (least, "a third of the bar")


def is_passed(
    bar: float, low: float, high: float, *, two_sided: bool = False, halved: bool = False
) -> bool:
    """Return whether a difference in this interval is shown to be past the bar.

    `halved` is what `is_halved` says of the two means. With `two_sided` a rise and a fall of so much both
    count.
    """
    up, down = low > abs(bar), high < -abs(bar)
    if two_sided:
        return up or down
    if bar > 0:
        return up
    return down or (high < LEAST * bar and halved)


def is_halved(ours: Mean, theirs: Mean, errors: float) -> bool:
    """Return whether less is shown to be left than half of what the reference has.

    `errors` is how many standard errors an interval reaches to either side.
    """
    reach = errors * math.sqrt(ours.variance + HALF * HALF * theirs.variance)
    return ours.estimate - HALF * theirs.estimate + reach < 0.0
