"""A crowd by the day, and what becomes of the rollouts that it sees: an oracle for `rlwd plan`.

Nothing here is the planner's or the readout's: people arrive one by one, an answer counts after its
horizon, a user's outcomes are drawn, variances are estimated from them, and the boundary is the
bisected martingale of `rollout_oracle`. The planner draws Brownian paths and estimates nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rollout_oracle import boundary

from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.planner import PlannedRollout

RUNS = 600
LOOKS_A_DAY = 24


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What became of rollouts of one true effect, one element a rollout."""

    promoted: NDArray[np.bool_]
    """Shown to be not worse by the margin, before any harm."""
    harmed: NDArray[np.bool_]
    """Shown to be worse, before any promotion."""
    users: NDArray[np.float64]
    """Users per variant by then; inf where nothing was decided."""
    days: NDArray[np.float64]
    """Days by then; the longest time where nothing was decided."""

    def median(self, which: NDArray[np.bool_], of: NDArray[np.float64]) -> float:
        """Return by when half of all rollouts ended so; inf where fewer did."""
        return float(np.median(np.where(which, of, np.inf)))


def arrivals(asked: PlannedRollout, generator: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return when the answers of each new user of either variant count, in days, sorted."""
    came = []
    for day in range(math.ceil(asked.days)):
        fresh = asked.users_per_day * (1.0 if day == 0 else asked.new_share)
        came.append(day + generator.random(round(fresh)))
    at = np.concatenate(came) + asked.horizon_days
    bucket = generator.random(len(at))
    return [np.sort(at[(bucket >= low) & (bucket < low + asked.share)]) for low in (0, asked.share)]


def ends(
    asked: PlannedRollout, effect: float, margin: float, settings: LookSettings, alpha_harm: float
) -> Ends:
    """Draw rollouts whose candidate is off by `effect`, relative, until they decide or time is up."""
    generator = np.random.default_rng(41)
    looks = np.arange(1, round(asked.days * LOOKS_A_DAY) + 1) / LOOKS_A_DAY
    users = [np.searchsorted(one, looks) for one in arrivals(asked, generator)]
    fewer = np.minimum(*users).astype(float)
    means, variances = zip(
        *(
            _measured(asked, rate, count, generator)
            for rate, count in zip((asked.base * (1 + effect), asked.base), users, strict=True)
        ),
        strict=True,
    )

    def reach(planned: int, alpha: float) -> NDArray[np.float64]:
        return np.array([boundary(each, planned, alpha) if each > 1 else np.inf for each in fewer])

    harm = reach(settings.harm_planned_users, alpha_harm)
    good = reach(settings.promote_planned_users, settings.alpha_promote)
    with np.errstate(invalid="ignore"):
        worse = means[0] - means[1] + harm * np.sqrt(variances[0] + variances[1]) < 0
        error = np.sqrt(variances[0] + (1 - margin) ** 2 * variances[1])
        shown = means[0] - (1 - margin) * means[1] - good * error > 0
    worse &= fewer >= settings.harm_users
    shown &= fewer >= settings.promote_users
    first = [np.where(x.any(axis=1), x.argmax(axis=1), len(looks)) for x in (worse, shown)]
    harmed = (first[0] <= first[1]) & (first[0] < len(looks))
    promoted = (first[1] < first[0]) & (first[1] < len(looks))
    last = np.minimum(np.minimum(*first), len(looks) - 1)
    decided = harmed | promoted
    return Ends(
        promoted=promoted,
        harmed=harmed,
        users=np.where(decided, fewer[last], np.inf),
        days=looks[last],
    )


def _measured(
    asked: PlannedRollout,
    rate: float,
    users: NDArray[np.int64],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and their variances [runs, looks], from users' means that are beta-binomial."""
    answers, rho = round(asked.answers_per_user), asked.correlation
    new = np.diff(users, prepend=0)
    total, squares = (np.zeros((RUNS, len(users))) for _ in range(2))
    if answers == 1:
        total = np.cumsum(generator.binomial(new, rate, (RUNS, len(new))), axis=1).astype(float)
        squares = total
    else:
        spread = (1 - rho) / rho
        own = generator.beta(rate * spread, (1 - rate) * spread, (RUNS, int(users[-1])))
        own = generator.binomial(answers, own) / answers
        places = np.maximum(users - 1, 0)
        total, squares = (np.cumsum(x, axis=1)[:, places] for x in (own, own * own))
    count = np.maximum(users, 1)
    mean = total / count
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (squares / count - mean**2) / np.maximum(users - 1, 0)
    return mean, np.where(users > 1, variance, np.inf)
