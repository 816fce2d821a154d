"""The alarm over a holdout's life: it finds a slow drift, and accuses an equal champion of nothing.

Forty versions, each a little worse than the one before and each let through by its own rollout, are
the drift (the ratchet of non-inferiority tests). Users come and stay; every version brings a look.
"""

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import pytest

from rlwd.ops.holdout.comparison import compare_users
from rlwd.ops.rollout.holdout_table import CHAMPION, HOLDOUT_ARM, UserTotals
from rlwd.ops.statistics.answers import ComparisonSettings

VERSIONS = 40
USERS = {CHAMPION: 2400, HOLDOUT_ARM: 300}
"""By the end: 2 % of 15,000 users held out, and eight of the champion's for each of them."""
ACTIVE = 0.3
"""Share of the users who ask while one version serves; four answers each."""


def alarm_at(step: float, seed: int, *, versions: int = VERSIONS) -> int | None:
    """Return the version at whose look the alarm comes, where each adds `step` to the reward."""
    draw = np.random.default_rng(seed)
    taste = {arm: draw.normal(0.0, 0.15, count) for arm, count in USERS.items()}
    sums = {arm: np.zeros((4, count)) for arm, count in USERS.items()}
    for number in range(1, versions + 1):
        for arm, count in USERS.items():
            answers = 4 * (draw.random(count) < ACTIVE)
            level = 0.7 + taste[arm] + (step * number if arm == CHAMPION else 0.0)
            decided = draw.binomial(answers, 0.6)
            reward = draw.binomial(decided, np.clip(level, 0.0, 1.0))
            sums[arm] += (answers, decided, reward, draw.binomial(answers, 0.02))
        totals = [one for arm, table in sums.items() for one in totals_of(arm, table)]
        if any(one.worse for one in compare_users(totals, ComparisonSettings())):
            return number
    return None


def totals_of(arm: str, table: np.ndarray) -> Iterator[UserTotals]:
    """Return the rows of one arm's users who asked, from their sums [4, U]; by columns, as they are many."""
    users = np.flatnonzero(table[0])
    answers, decided, failed = table[[0, 1, 3]][:, users].astype(int).tolist()
    names = [f"{arm}{user}" for user in users.tolist()]
    columns = repeat(arm), names, repeat(""), repeat(""), answers, decided, table[2, users].tolist()
    return map(UserTotals._make, zip(*columns, failed, strict=False))


@pytest.mark.parametrize("seed", range(4))
def test_forty_versions_of_a_half_per_cent_each_raise_the_alarm(seed: int) -> None:
    """The champion ends at -.2: the alarm comes on the way, whatever each rollout said."""
    found = alarm_at(-0.005, seed)
    assert found is not None
    assert found < VERSIONS


def test_an_equal_champion_raises_none() -> None:
    """With a look after each version, at most one life in twenty has a false alarm."""
    lives = 40
    alarms = sum(alarm_at(0.0, seed, versions=20) is not None for seed in range(100, 100 + lives))
    assert alarms <= lives // 20


def test_a_better_champion_raises_none() -> None:
    """What learning brought is no alarm."""
    assert alarm_at(+0.005, 7, versions=20) is None
