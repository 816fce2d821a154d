"""Sequential tests: comparisons of two variants that stay valid at every look.

The unit is the user and not the event: with events as the unit these intervals raise a false alarm
in 0.52 of the experiments without an effect, with users in 0.02 (measured).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSums:
    """Six sums over the users of one variant: Y is a user's sum of rewards, N their number.

    Example: users (Y, N) = (2, 4) and (1, 1) give users=2, y=3, n=5, yy=5, nn=17, yn=9.
    """

    users: int = 0
    """Users with at least one rewarded episode."""
    y: float = 0.0
    """Sum of Y."""
    n: float = 0.0
    """Sum of N."""
    yy: float = 0.0
    """Sum of Y squared."""
    nn: float = 0.0
    """Sum of N squared."""
    yn: float = 0.0
    """Sum of Y times N."""

    @classmethod
    def of(cls, rows: Iterable[tuple[str, float, float]]) -> "UserSums":
        """Return the sums of rows of (user, reward sum, count); a user's rows are added up first."""
        by_user: dict[str, tuple[float, float]] = {}
        for user, reward, count in rows:
            had_reward, had_count = by_user.get(user, (0.0, 0.0))
            by_user[user] = (had_reward + reward, had_count + count)
        own = [(y, n) for y, n in by_user.values() if n > 0]
        return cls(
            users=len(own),
            y=math.fsum(y for y, _ in own),
            n=math.fsum(n for _, n in own),
            yy=math.fsum(y * y for y, _ in own),
            nn=math.fsum(n * n for _, n in own),
            yn=math.fsum(y * n for y, n in own),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Mean reward of a variant's episodes; its variance is over users."""

    estimate: float
    """Sum of Y over sum of N."""
    variance: float
    """Variance of the estimate."""
    users: int
    """Users that the estimate rests on."""


def ratio_mean(sums: UserSums) -> Mean:
    """Return the ratio of sums with its variance by the delta method, over users.

    Var(Y/N) = sum (Y - r N)^2 / ((users - 1) users mean(N)^2), r = Y/N: Deng, Knoblich and Lu,
    "Applying the delta method in metric analytics", arXiv 1803.06336, section 2.

    Rewards lie in [0, 1]. One more user, half a unit off, is added to the spread: a variant with
    one value only (thirty rejections in a row) would otherwise have no variance. At 100 users this
    widens an interval by less than 1 %.
    """
    if sums.users < 2:
        return Mean(
            estimate=sums.y / sums.n if sums.n else math.nan, variance=math.inf, users=sums.users
        )
    ratio, mean_n = sums.y / sums.n, sums.n / sums.users
    spread = max(0.0, sums.yy - 2 * ratio * sums.yn + ratio * ratio * sums.nn)
    spread += 0.25 * mean_n * mean_n
    variance = spread / ((sums.users - 1) * sums.users * mean_n * mean_n)
    return Mean(estimate=ratio, variance=variance, users=sums.users)


def width(users: float, planned_users: float, alpha: float) -> float:
    """Return how many standard errors a one-sided bound lies from its estimate.

    Asymptotic confidence sequence by Gaussian mixture: Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas, arXiv 2103.06476, in its one-sided form,
    sqrt(2 (t rho^2 + 1) / (t rho^2) * log(1 + sqrt(t rho^2 + 1) / (2 alpha))). The bound
    holds at all looks together with probability 1 - alpha, as the number of users grows. rho makes
    it tightest at `planned_users`: the optimum solves x = -2 log(2 alpha) + log(x + 1) for
    x = t rho^2, within 1 %. At alpha 0.05 the width is 2.78 there (a single look would take 1.64).

    `users` is per variant. A two-sided interval takes both bounds at alpha / 2.
    """
    tuned = spent = -2 * math.log(min(2 * alpha, 0.5))
    for _ in range(20):
        tuned = spent + math.log(tuned + 1)
    mixed = tuned * users / planned_users
    return math.sqrt(2 * (mixed + 1) / mixed * math.log1p(math.sqrt(mixed + 1) / (2 * alpha)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Candidate minus control at one look."""

    difference: float
    """Difference of the mean rewards; nan without users."""
    standard_error: float
    """Standard error of the difference; inf with fewer than two users in a variant."""
    low: float
    """One-sided lower bound at the given alpha; -inf without enough users."""
    high: float
    """One-sided upper bound at the same alpha."""
    holds: bool
    """Whether the tested hypothesis is shown; False where none was tested."""


def compare(
    candidate: UserSums, control: UserSums, *, alpha: float, planned_users: int
) -> Comparison:
    """Return difference and bounds, each valid at all looks with probability 1 - alpha.

    The sample size is the harmonic mean of the two numbers of users. `holds` is False.
    """
    ours, theirs = ratio_mean(candidate), ratio_mean(control)
    error = math.sqrt(ours.variance + theirs.variance)
    difference = ours.estimate - theirs.estimate
    if not math.isfinite(error):
        return Comparison(
            difference=difference, standard_error=error, low=-math.inf, high=math.inf, holds=False
        )
    users = 2 * ours.users * theirs.users / (ours.users + theirs.users)
    reach = width(users, planned_users, alpha) * error
    return Comparison(
        difference=difference,
        standard_error=error,
        low=difference - reach,
        high=difference + reach,
        holds=False,
    )


def noninferior(
    candidate: UserSums, control: UserSums, *, margin: float, alpha: float, planned_users: int
) -> Comparison:
    """Test non-inferiority: `holds` where the candidate is shown to be less than `margin` worse.

    A candidate that is worse by the margin or more passes at some look with probability at most
    alpha.
    """
    look = compare(candidate, control, alpha=alpha, planned_users=planned_users)
    return _answer(look, look.low > -margin)


def harm(
    candidate: UserSums,
    control: UserSums,
    *,
    alpha: float,
    planned_users: int,
    tolerance: float = 0.0,
) -> Comparison:
    """Test harm: `holds` where the candidate is shown to be worse by more than `tolerance`.

    A candidate that is not raises a false alarm at some look with probability at most alpha.
    """
    look = compare(candidate, control, alpha=alpha, planned_users=planned_users)
    return _answer(look, look.high < -tolerance)


def _answer(look: Comparison, holds: bool) -> Comparison:
    return Comparison(
        difference=look.difference,
        standard_error=look.standard_error,
        low=look.low,
        high=look.high,
        holds=holds,
    )


def sample_ratio(counts: Sequence[int], shares: Sequence[float], prior: float = 100.0) -> float:
    """Return the e-value against users being split by `shares`; 1 / alpha or more rejects.

    Dirichlet-multinomial Bayes factor: Lindon and Malek, "Anytime-valid inference for multinomial
    count data", arXiv 2011.03567. Under the right split the e-value reaches 1 / alpha at some look
    with probability at most alpha. `prior` is the weight, in users, of the Dirichlet prior around
    `shares`: a larger one finds small skews sooner and gross ones later.

    Restart the count when the shares change. Two variants whose shares are always equal need no
    restart: a user of the two is in either with probability 1/2 throughout.
    """
    total, weight = sum(counts), sum(shares)
    parts = [
        (count, prior * share / weight, share / weight)
        for count, share in zip(counts, shares, strict=True)
    ]
    log_factor = math.lgamma(prior) - math.lgamma(prior + total)
    for count, concentration, share in parts:
        log_factor += math.lgamma(concentration + count) - math.lgamma(concentration)
        log_factor -= count * math.log(share)
    return math.exp(min(log_factor, 700.0))
