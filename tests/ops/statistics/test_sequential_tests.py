"""Statistics that stay valid while they are watched.

Locked here: the hand-computed sums and variance; false alarms stay under alpha although one looks
again and again, and do not where events are taken for users; a real difference is found in the
numbers of users that the settings promise; the split of users is judged likewise.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.ops.statistics.sequential_tests import (
    UserSums,
    compare,
    harm,
    noninferior,
    ratio_mean,
    sample_ratio,
    width,
)

RUNS = 400
USERS = 800
LOOKS = range(20, USERS + 1, 20)


def crowd(generator: np.random.Generator, level: float, users: int = USERS) -> list[UserSums]:
    """Sums at every look over users who return, each with a taste of his own."""
    count = generator.geometric(1 / 3, users).astype(float)
    taste = np.clip(generator.normal(level, 0.25, users), 0, 1)
    reward = generator.binomial(count.astype(int), taste).astype(float)
    sums = [np.cumsum(x) for x in (reward, count, reward**2, count**2, reward * count)]
    return [UserSums(users=n, **_at(sums, n)) for n in range(20, users + 1, 20)]


def _at(sums: list[np.ndarray], users: int) -> dict[str, float]:
    names = ("y", "n", "yy", "nn", "yn")
    return {name: float(total[users - 1]) for name, total in zip(names, sums, strict=True)}


def experiments(difference: float, seed: int) -> Iterator[list[tuple[UserSums, UserSums]]]:
    """Seeded experiments; each is its looks at candidate and control."""
    generator = np.random.default_rng(seed)
    for _ in range(RUNS):
        ours = crowd(generator, 0.5 + difference)
        yield list(zip(ours, crowd(generator, 0.5), strict=True))


def first(
    looks: list[tuple[UserSums, UserSums]], holds: Callable[[UserSums, UserSums], bool]
) -> int | None:
    """Users per variant at the first look at which something is shown."""
    return next((a.users for a, b in looks if a.users >= 100 and holds(a, b)), None)


def accused(a: UserSums, b: UserSums) -> bool:
    return harm(a, b, alpha=0.05, planned_users=200).holds


def passed(a: UserSums, b: UserSums) -> bool:
    return noninferior(a, b, margin=0.10, alpha=0.05, planned_users=200).holds


def test_sums_add_up_a_users_rows_before_squaring() -> None:
    """Two rows of one user are one user with more rewards."""
    split = UserSums.of([("ann", 1.5, 3), ("bob", 1.0, 1), ("ann", 0.5, 1), ("eve", 0.0, 0)])
    assert split == UserSums(users=2, y=3.0, n=5.0, yy=5.0, nn=17.0, yn=9.0)


def test_ratio_mean_agrees_with_the_sum_done_by_hand() -> None:
    """(2, 4), (1, 1), (0, 1): r = 1/2, residuals 0, 1/2, -1/2; the extra user adds 1/4 * 2^2."""
    mean = ratio_mean(UserSums.of([("a", 2, 4), ("b", 1, 1), ("c", 0, 1)]))
    assert mean.estimate == pytest.approx(0.5)
    assert mean.variance == pytest.approx((0.25 + 0.25 + 0.25 * 4) / (2 * 3 * 4))


def test_ratio_mean_knows_that_few_users_are_not_certain() -> None:
    """One value thirty times over leaves a spread; a single user leaves everything open."""
    same = ratio_mean(UserSums.of([(str(user), 0.0, 1) for user in range(30)]))
    assert same.estimate == 0
    assert same.variance == pytest.approx(0.25 / (29 * 30))
    assert ratio_mean(UserSums.of([("a", 1, 1)])).variance == math.inf
    assert math.isnan(ratio_mean(UserSums()).estimate)


def test_delta_method_agrees_with_resampling() -> None:
    """The variance of the ratio is what drawing the users again and again shows."""
    generator = np.random.default_rng(3)
    drawn = [crowd(generator, 0.5, users=200)[-1] for _ in range(1500)]
    spread = np.var([ratio_mean(sums).estimate for sums in drawn])
    claimed = np.mean([ratio_mean(sums).variance for sums in drawn])
    assert claimed == pytest.approx(spread, rel=0.12)


def test_width_is_least_at_the_planned_number_of_users() -> None:
    """In rewards, not standard errors: the bound at n times sqrt(n) is tightest where planned."""
    widths = {users: width(users, 200, 0.05) for users in range(20, 2000, 20)}
    assert min(widths, key=lambda users: widths[users]) == pytest.approx(200, abs=20)
    assert widths[200] == pytest.approx(2.78, abs=0.01)
    assert width(200, 200, 0.01) > widths[200] > width(200, 200, 0.2) > 1


def test_one_sided_width_solves_its_mixture_test() -> None:
    """At the bound the half-normal mixture martingale is at 1 / alpha or just above: it is valid."""
    for users, alpha in ((50, 0.05), (200, 0.05), (2000, 0.05), (200, 0.01)):
        tuned = -2 * math.log(2 * alpha)
        for _ in range(50):
            tuned = -2 * math.log(2 * alpha) + math.log(tuned + 1)
        mixed = tuned * users / 200
        z = width(users, 200, alpha) * math.sqrt(mixed / (mixed + 1))
        martingale = 2 / math.sqrt(mixed + 1) * math.exp(z * z / 2) * (1 + math.erf(z / 2**0.5)) / 2
        assert 1 / alpha <= martingale <= 1.15 / alpha


def test_no_effect_is_rarely_accused_under_constant_watching() -> None:
    """Forty looks at no difference accuse less often than alpha."""
    alarms = sum(first(looks, accused) is not None for looks in experiments(0.0, seed=1))
    assert alarms / RUNS <= 0.05


def test_events_taken_for_users_do_raise_false_alarms() -> None:
    """The same bound over single events is wrong several times as often: users are the unit."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(100):
        a, b = _events(generator), _events(generator)
        alarms += any(accused(x, y) for x, y in zip(a, b, strict=True))
    assert alarms / 100 > 0.15


def _events(generator: np.random.Generator) -> list[UserSums]:
    """Heavy users whose every event is wrongly called a user."""
    count = np.minimum(generator.zipf(1.7, 400), 200)
    level = np.clip(generator.normal(0.5, 0.35, 400), 0, 1)
    rewards = np.concatenate(
        [generator.binomial(1, p, n) for p, n in zip(level, count, strict=True)]
    ).astype(float)
    ends = np.linspace(100, len(rewards), 30).astype(int)
    totals = np.cumsum(rewards)
    return [
        UserSums(users=int(n), y=(y := float(totals[n - 1])), n=float(n), yy=y, nn=float(n), yn=y)
        for n in ends
    ]


def test_a_candidate_worse_by_the_margin_is_rarely_promoted() -> None:
    """On the edge of the margin, promotion at any look stays under alpha."""
    promoted = sum(first(looks, passed) is not None for looks in experiments(-0.10, seed=2))
    assert promoted / RUNS <= 0.05


def test_the_bounds_cover_the_truth_at_all_looks_together() -> None:
    """Both bounds at alpha / 2 hold the true difference at every look in 95 % of experiments."""
    missed = 0
    for looks in experiments(0.1, seed=4):
        bounds = [compare(a, b, alpha=0.025, planned_users=200) for a, b in looks[4:]]
        missed += any(not bound.low <= 0.1 <= bound.high for bound in bounds)
    assert missed / RUNS <= 0.05


@pytest.mark.parametrize(("difference", "at_most"), [(0.10, 120), (0.0, 300)])
def test_a_good_candidate_is_promoted_within_the_promised_users(
    difference: float, at_most: int
) -> None:
    """At margin 0.10 half the better candidates need about 100 users a variant, equal ones 300."""
    needed = [first(looks, passed) or USERS + 1 for looks in experiments(difference, seed=5)]
    assert np.median(needed) <= at_most
    assert np.mean(np.array(needed) <= USERS) > 0.97


def test_harm_is_found() -> None:
    """A loss of 0.15 is accused in at least 95 % of experiments, half of them by 200 users."""
    needed = [first(looks, accused) or USERS + 1 for looks in experiments(-0.15, seed=6)]
    assert np.mean(np.array(needed) <= USERS) > 0.95
    assert np.median(needed) <= 200


def test_too_few_users_show_nothing() -> None:
    """Without two users a variant no bound is finite and nothing holds."""
    alone = UserSums.of([("a", 0, 5)])
    many = UserSums.of([(str(user), 1, 1) for user in range(50)])
    look = harm(alone, many, alpha=0.05, planned_users=200)
    assert (look.low, look.high, look.holds) == (-math.inf, math.inf, False)


def test_sample_ratio_agrees_with_the_factor_done_by_hand() -> None:
    """Prior (1, 1), counts (2, 0): P = 1/2 * 2/3 = 1/3 against 1/4, so 4/3."""
    assert sample_ratio((2, 0), (1, 1), prior=2.0) == pytest.approx(4 / 3)
    assert sample_ratio((0, 0), (1, 1)) == pytest.approx(1.0)


def test_a_right_split_is_rarely_called_wrong() -> None:
    """4,000 users, a look after every 20: false alarms stay near alpha = 0.001, not 1 in 20."""
    generator = np.random.default_rng(7)
    alarms = 0
    for _ in range(300):
        ours = np.cumsum(generator.binomial(20, 0.5, 200))
        pairs = ((int(n), 20 * (look + 1) - int(n)) for look, n in enumerate(ours))
        alarms += any(sample_ratio(pair, (1, 1)) >= 1000 for pair in pairs)
    assert alarms <= 2


@pytest.mark.parametrize(("lost", "users"), [(0.1, 20_000), (0.5, 400)])
def test_a_wrong_split_is_found(lost: float, users: int) -> None:
    """With half of the candidate's users lost 400 users show it, with a tenth lost 20,000."""
    generator = np.random.default_rng(8)
    found = 0
    for _ in range(40):
        ours = np.cumsum(generator.random(users) < (1 - lost) / (2 - lost))
        pairs = ((int(ours[n - 1]), n - int(ours[n - 1])) for n in range(20, users + 1, 20))
        found += any(sample_ratio(pair, (1, 1)) >= 1000 for pair in pairs)
    assert found >= 37


rewards = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1), st.just(1.0)), min_size=4, max_size=40
)


@given(rewards, rewards)
def test_swapping_the_variants_mirrors_the_bounds(
    ours: list[tuple[str, float, float]], theirs: list[tuple[str, float, float]]
) -> None:
    """Candidate minus control is minus control minus candidate, bounds and all."""
    a, b = UserSums.of(ours), UserSums.of(theirs)
    there = compare(a, b, alpha=0.05, planned_users=50)
    back = compare(b, a, alpha=0.05, planned_users=50)
    assert there.difference == pytest.approx(-back.difference)
    assert there.low == pytest.approx(-back.high)
    assert there.low <= there.difference <= there.high
