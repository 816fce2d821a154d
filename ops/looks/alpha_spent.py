"""Alpha spent: how much of a sequential test's error probability its looks have used up by now."""

import math
from functools import lru_cache

import numpy as np

from ..statistics.sequential_tests import width

GROWTH = 1.02
"""Each look of the computation has so many times the users of the one before."""
REACH, STEP = 8.0, 0.05
"""Standard errors that the computation covers, and its grid."""


@lru_cache(maxsize=512)
def alpha_spent(users: int, first_users: int, planned_users: int, alpha: float) -> float:
    """Return the probability that a test without an effect was over by `users` per variant.

    The test is one-sided, looks at every user from `first_users` on, and has spent `alpha` once the
    users are endless. The density of its standardized difference is carried from look to look and
    what crosses the bound is taken out (Armitage, McPherson and Rowe, JRSS A 132, 1969). Right
    within 5 % of itself: a path may cross and come back between two looks of the computation.
    """
    if users < first_users:
        return 0.0
    place = np.arange(-REACH, REACH + STEP / 2, STEP)
    density = np.exp(-place * place / 2) / math.sqrt(2 * math.pi)
    spread = math.sqrt(1 - 1 / GROWTH)
    apart = place[:, None] - place[None, :] / math.sqrt(GROWTH)
    carry = STEP * np.exp(-((apart / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))
    at, spent = float(first_users), 0.0
    while True:
        over = place > width(at, planned_users, alpha)
        spent += float(density[over].sum()) * STEP
        density = np.where(over, 0.0, density)
        if at * GROWTH > users:
            return min(spent, alpha)
        at, density = at * GROWTH, carry @ density
