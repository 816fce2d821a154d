"""Oracles that share nothing with the code under test: the truth of a world, and plain methods.

The truth is the mean of what would have happened to the same users at the same times under either
variant. The interval is computed the long way round: leave-one-user-out jackknife for the error,
and the boundary of the half-normal mixture martingale by bisection. The two methods that people
use instead, a test at a fixed horizon and a test that is peeked at, are plain z-tests on users.
"""

import math
from collections.abc import Sequence

import numpy as np
from rollout_world import HOUR, Drawn, World, level

Z = 1.6448536269514722


def true_change(world: World) -> float:
    """Return the relative effect on the same mix of segments, at the end of the rollout's life."""
    at = np.linspace(0, world.hours * HOUR, 2001)
    share = (world.candidate.hard_share + world.control.hard_share) / 2
    means = []
    for arm in (world.candidate, world.control):
        easy = level(world, arm, np.zeros(len(at), bool), at).mean()
        hard = level(world, arm, np.ones(len(at), bool), at).mean()
        means.append((1 - share) * easy + share * hard)
    return float(means[0] / means[1] - 1)


def jackknife(y: Sequence[float], n: Sequence[float]) -> tuple[float, float]:
    """Return sum(y) / sum(n) and its variance, leaving out one user at a time."""
    total_y, total_n, users = sum(y), sum(n), len(y)
    without = [(total_y - a) / (total_n - b) for a, b in zip(y, n, strict=True)]
    middle = sum(without) / users
    return total_y / total_n, (users - 1) / users * sum((each - middle) ** 2 for each in without)


def boundary(users: float, planned: float, alpha: float) -> float:
    """Return the standard errors at which the mixture martingale reaches 1 / alpha, by bisection."""
    tuned = 1.0
    for _ in range(200):
        tuned = -2 * math.log(2 * alpha) + math.log(tuned + 1)
    rho = tuned * users / planned

    def martingale(z: float) -> float:
        scaled = z * math.sqrt(rho / (rho + 1))
        return 1 / math.sqrt(rho + 1) * math.exp(scaled**2 / 2) * (1 + math.erf(scaled / 2**0.5))

    low, high = 0.0, 50.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if martingale(middle) < 1 / alpha else (low, middle)
    return high


def decided_sums(drawn: Drawn, now: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what every user's decided answers add up to by now, as anybody would count them."""
    seen = drawn.decided_at <= now
    users = len(drawn.earlier)
    n = np.bincount(drawn.user[seen], minlength=users)
    y = np.bincount(drawn.user[seen], drawn.good[seen].astype(float), users)
    return y[n > 0], n[n > 0].astype(float)


def z_of(candidate: Drawn, control: Drawn, now: float, margin: float) -> tuple[float, int]:
    """Return the z-value of candidate - (1 - margin) control over users, and the fewer users."""
    means = []
    for drawn in (candidate, control):
        y, n = decided_sums(drawn, now)
        if len(n) < 2:
            return 0.0, 0
        ratio = y.sum() / n.sum()
        residual = (y - ratio * n) / n.mean()
        means.append((ratio, (residual**2).sum() / (len(n) * (len(n) - 1)), len(n)))
    (ours, v, users), (theirs, w, others) = means
    error = math.sqrt(v + (1 - margin) ** 2 * w)
    return float((ours - (1 - margin) * theirs) / error) if error else 0.0, min(users, others)


def plain_verdict(
    candidate: Drawn, control: Drawn, looks: Sequence[float], margin: float
) -> tuple[str, float]:
    """Return what z-tests at 5 % decide first at these looks, and when: one look is a fixed horizon."""
    for now in looks:
        harm, users = z_of(candidate, control, now, 0.0)
        passed, _ = z_of(candidate, control, now, margin)
        if users >= 30 and harm < -Z:
            return "rolled back", now
        if users >= 100 and passed > Z:
            return "promoted", now
    return "open", looks[-1]
