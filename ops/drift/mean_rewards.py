"""Mean rewards: of a version and of its reference, as their behaviours are compared."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..stages.watch_settings import WatchSettings
from ..statistics.sequential_tests import UserSums, compare
from .drift_answers import DriftAnswer
from .segment_mix import DriftRow, mean_of, same_mix


class MeanRewards(NamedTuple):
    """What both sides are worth."""

    ours: float | None
    """Mean of the version's answers that have a reward; None without any."""
    theirs: float | None
    """Likewise of the reference's."""
    high: float | None
    """Upper bound of the difference, valid at all looks together; None before there is one."""


def mean_rewards(
    ours: Sequence[DriftAnswer],
    theirs: Sequence[DriftAnswer],
    settings: WatchSettings,
    *,
    alpha: float,
    concurrent: bool = True,
) -> MeanRewards:
    """Return the mean reward of both sides' answers that have one, by the behaviours' mix of segments.

    A version that is worth as much as its reference has an upper bound below 0 at some look with
    probability at most `alpha`.
    """
    sides = _rewards(ours), _rewards(theirs)
    if not concurrent:
        sides = same_mix(*sides, settings.users)
    sums = [UserSums.of(one[:3] for one in rows) for rows in sides]
    high = compare(*sums, alpha=alpha, planned_users=settings.planned_users).high
    means = [mean_of(rows) if rows else None for rows in sides]
    return MeanRewards(means[0], means[1], high if math.isfinite(high) else None)


def _rewards(answers: Sequence[DriftAnswer]) -> list[DriftRow]:
    return [
        DriftRow(one.user, one.reward, 1.0, one.segment)
        for one in answers
        if one.reward is not None
    ]
