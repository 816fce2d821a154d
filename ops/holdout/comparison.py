"""Comparison: the champion's users against the long-term holdout's, valid at every look."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..rollout.holdout_table import CHAMPION, HOLDOUT_ARM, HoldoutMeasure, UserTotals
from ..statistics.adjusted_mean import adjusted_means
from ..statistics.answers import ComparisonSettings, Floats
from ..statistics.cohort import Cohort
from ..statistics.sequential_tests import Mean, width

ALPHA = 0.05
"""Probability of a false alarm, over all looks and measures; also of an interval that misses."""
ALPHA_SHARES = {"reward": 4.0, "feedback_rate": 2.0, "error_rate": 1.0}
"""What is compared, and its part of the alpha, as in a rollout."""
PLANNED_USERS = 1000
"""Users, as a harmonic mean of the two sides, at which the intervals are tightest."""
SIDES = (CHAMPION, HOLDOUT_ARM)
LEAST_USERS = 30
"""Users of each side from which on an alarm may be raised."""


def compare_users(
    totals: Sequence[UserTotals], comparison: ComparisonSettings
) -> tuple[HoldoutMeasure, ...]:
    """Return each measure that both sides have users for.

    The unit is the user, post-stratified by segment and harness, with one user's weight capped, as
    in a rollout (docs/statistics.md). Differences are absolute.
    """
    kinds = sorted({(one.segment, one.harness) for one in totals})
    strata = {kind: place for place, kind in enumerate(kinds)}
    sides = [_summed([one for one in totals if one.arm == arm], strata) for arm in SIDES]
    found = []
    for name in ALPHA_SHARES:
        ours, theirs = (_cohort(sums, name, comparison) for sums in sides)
        if ours.users and theirs.users:
            means = adjusted_means(ours, theirs, comparison, bounded=True)
            found.append(_measure(name, *means))
    return tuple(found)


def users_of(totals: Iterable[UserTotals], arm: str) -> int:
    """Return how many users of one side have an answer that counts."""
    return len({one.user for one in totals if one.arm == arm})


def _summed(totals: list[UserTotals], strata: dict[tuple[str, str], int]) -> Floats:
    """Return answers, decided, reward and failed of one side's users and strata, [4, U, S]."""
    users: dict[str, int] = {}
    for one in totals:
        users.setdefault(one.user, len(users))
    sums: Floats = np.zeros((4, len(users), max(1, len(strata))))
    # A row for each user and stratum: none is written twice.
    places = [users[one.user] for one in totals], [strata[one[2:4]] for one in totals]
    sums[:, *places] = np.array([one[4:] for one in totals], float).reshape(-1, 4).T
    return sums


def _cohort(sums: Floats, name: str, comparison: ComparisonSettings) -> Cohort:
    answers, decided, reward, failed = sums
    y, n = reward, decided
    if name == "feedback_rate":
        y, n = decided, answers
    elif name == "error_rate":
        y, n = failed, answers
    elif comparison.undecided != "omit":
        y, n = reward + comparison.undecided * (answers - decided), answers
    seen = n.sum(axis=1) > 0
    return Cohort(y=y[seen], n=n[seen], earlier=np.full(int(seen.sum()), np.nan))


def _measure(name: str, ours: Mean, theirs: Mean) -> HoldoutMeasure:
    difference = ours.estimate - theirs.estimate
    error = math.sqrt(ours.variance + theirs.variance)
    users = 2 * ours.users * theirs.users / (ours.users + theirs.users)
    low = high = None
    worse = False
    if math.isfinite(error):
        reach = width(users, PLANNED_USERS, ALPHA / 2) * error
        low, high = difference - reach, difference + reach
        alpha = ALPHA * ALPHA_SHARES[name] / sum(ALPHA_SHARES.values())
        better = -1.0 if name == "error_rate" else 1.0
        enough = min(ours.users, theirs.users) >= LEAST_USERS
        worse = enough and better * difference + width(users, PLANNED_USERS, alpha) * error < 0
    return HoldoutMeasure(
        name=name,
        champion=ours.estimate,
        holdout=theirs.estimate,
        difference=difference,
        low=low,
        high=high,
        worse=worse,
    )
