"""Held-out size: how many held-out episodes let a gate see a loss of its margin."""

import math

POWER = 0.84
"""Normal quantile of the probability, 0.8, with which the loss is to be seen."""


def held_out_size(margin: float, *, deviation: float, z: float = 1.64) -> int:
    """Return the held-out episodes of which 4 of 5 gates refuse a loss of twice the margin.

    A gate refuses where estimate + z * error lies below served - margin, so a true loss L is refused
    with probability 0.8 where L - margin is (z + 0.84) errors, and an error is deviation / sqrt(n).
    `deviation` is of one episode's term of the estimate: 0.5 at most where the candidate is near to
    what was served, more where importance weights spread. The size is in effective episodes.

    Raises ValueError for a margin that is not above 0: no number of episodes shows a loss of nothing.

    >>> held_out_size(0.05, deviation=0.2)
    99
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; it must be above 0")
    return math.ceil(((z + POWER) * deviation / margin) ** 2)
