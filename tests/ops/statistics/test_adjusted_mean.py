"""Adjusted means: like is compared with like, and with less noise where there is a past."""

import numpy as np
import pytest

from rlwd.ops.statistics.adjusted_mean import adjusted_means
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.cohort import Cohort
from rlwd.ops.statistics.sequential_tests import UserSums, ratio_mean

SETTINGS = ComparisonSettings(user_weight=1e9)


def made(y: np.ndarray, n: np.ndarray, earlier: np.ndarray | None = None) -> Cohort:
    return Cohort(y=y, n=n, earlier=np.full(len(y), np.nan) if earlier is None else earlier)


def drawn(generator: np.random.Generator, users: int = 300) -> Cohort:
    n = generator.integers(1, 9, (users, 1)).astype(float)
    return made(generator.binomial(n.astype(int), 0.6).astype(float), n)


def test_one_stratum_without_a_past_is_the_plain_ratio() -> None:
    """Estimate and variance equal those of the six sums."""
    generator = np.random.default_rng(1)
    ours, theirs = drawn(generator), drawn(generator)
    for mean, one in zip(
        adjusted_means(ours, theirs, SETTINGS, bounded=True), (ours, theirs), strict=True
    ):
        rows = (
            (str(u), float(y[0]), float(n[0]))
            for u, (y, n) in enumerate(zip(one.y, one.n, strict=True))
        )
        plain = ratio_mean(UserSums.of(rows))
        assert mean.estimate == pytest.approx(plain.estimate)
        assert mean.variance == pytest.approx(plain.variance)


def test_a_mix_of_segments_alone_makes_no_difference() -> None:
    """Equal in both segments, one used twice as much by the candidate: the means agree."""

    def mix(hard: int) -> Cohort:
        n = np.zeros((100, 2))
        n[:hard, 1], n[hard:, 0] = 10, 10
        return made(n * [0.8, 0.4], n)

    ours, theirs = adjusted_means(mix(60), mix(30), SETTINGS, bounded=True)
    assert ours.estimate == pytest.approx(theirs.estimate)
    plain = [float(each.y.sum() / each.n.sum()) for each in (mix(60), mix(30))]
    assert plain[0] < plain[1] - 0.1


def test_the_variance_is_what_drawing_again_shows() -> None:
    """Two strata that users share, heavy users, a past: claimed and drawn variance agree."""
    generator = np.random.default_rng(2)
    differences, claimed = [], []
    for _ in range(600):
        ours, theirs = (_rich(generator) for _ in range(2))
        a, b = adjusted_means(ours, theirs, SETTINGS, bounded=True)
        differences.append(a.estimate - b.estimate)
        claimed.append(a.variance + b.variance)
    assert np.mean(claimed) == pytest.approx(np.var(differences), rel=0.15)
    assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(600)


def _rich(generator: np.random.Generator, users: int = 200, *, past: bool = True) -> Cohort:
    taste = generator.normal(0, 0.2, users)
    n = np.stack([1 + generator.poisson(3, users), generator.poisson(2, users)], axis=1)
    level = np.clip(np.array([0.7, 0.4]) + taste[:, None], 0, 1)
    y = generator.binomial(n, level).astype(float)
    earlier = np.clip(0.55 + taste + generator.normal(0, 0.1, users), 0, 1)
    earlier[generator.random(users) < 0.3] = np.nan
    return made(y, n.astype(float), earlier if past else None)


def test_the_past_takes_noise_away() -> None:
    """Where a user's past tells of his taste, the variance is a quarter smaller at least."""
    generator = np.random.default_rng(3)
    ours, theirs = _rich(generator, 2000), _rich(generator, 2000)
    without = [made(each.y, each.n) for each in (ours, theirs)]
    with_past = adjusted_means(ours, theirs, SETTINGS, bounded=True)
    plain = adjusted_means(without[0], without[1], SETTINGS, bounded=True)
    assert with_past[0].variance < 0.75 * plain[0].variance


def test_few_users_with_a_past_change_nothing() -> None:
    """A slope from a handful of users would add noise."""
    generator = np.random.default_rng(4)
    ours, theirs = drawn(generator), drawn(generator)
    earlier = np.full(300, np.nan)
    earlier[:10] = generator.random(10)
    few = made(ours.y, ours.n, earlier)
    assert adjusted_means(few, theirs, SETTINGS, bounded=True) == adjusted_means(
        ours, theirs, SETTINGS, bounded=True
    )


def test_one_enormous_value_does_not_carry_an_unbounded_mean() -> None:
    """A million tokens of one user of 300 move the mean of 10 by less than one."""
    generator = np.random.default_rng(5)
    n = np.ones((300, 1))
    calm = made(generator.normal(10, 1, (300, 1)), n)
    wild = made(calm.y.copy(), n)
    wild.y[0] = 1e6
    ours, theirs = adjusted_means(wild, calm, SETTINGS, bounded=False)
    assert ours.estimate == pytest.approx(theirs.estimate, abs=1)
    assert ours.variance < 0.5


def test_too_few_users_leave_everything_open() -> None:
    """One user has no variance to show."""
    one = made(np.ones((1, 1)), np.ones((1, 1)))
    many = made(np.ones((50, 1)), np.ones((50, 1)))
    ours, theirs = adjusted_means(one, many, SETTINGS, bounded=True)
    assert ours.variance == theirs.variance == np.inf
