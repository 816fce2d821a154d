"""Passage: when a sequential comparison is likely to decide, from the size of the effect alone."""

import math
import random
from dataclasses import dataclass

from .look_settings import LookSettings
from .sequential_tests import width

PATHS = 2000
LOOKS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What many comparisons of one true effect come to within a number of users."""

    promoted: float
    """Share that is promoted."""
    harmed: float
    """Share that is found to be harm."""
    promote_users: float
    """Users per variant by which half are promoted; inf where fewer than half are."""
    harm_users: float
    """Users per variant by which half are found to be harm; inf likewise."""
    decided_users: float
    """Users per variant by which half are either; the most there are where fewer are."""


def passage(
    *,
    effect: float,
    margin: float,
    deviation: float,
    most_users: float,
    alpha_harm: float,
    settings: LookSettings,
    seed: int = 0,
) -> Passage:
    """Return how comparisons end that are looked at all the time until `most_users` per variant.

    `effect` is candidate minus control and `margin` the loss that a promotion must exclude, both in
    the metric's unit; `deviation` is a user's standard deviation in it. The difference of the means
    is a Brownian motion over users with drift, drawn at looks whose distances grow geometrically.
    Reproducible for a seed; with 2,000 paths a share is right within 0.02.
    """
    generator = random.Random(seed)
    looks = _looks(settings.harm_users, most_users)
    bounds = [_bounds(users, deviation, alpha_harm, settings) for users in looks]
    promoted: list[float] = []
    harmed: list[float] = []
    for _ in range(PATHS):
        total, before = 0.0, 0.0
        for users, (harm, promote) in zip(looks, bounds, strict=True):
            noise = deviation * math.sqrt(2 * (users - before)) * generator.gauss()
            total, before = total + effect * (users - before) + noise, users
            difference = total / users
            if difference + harm < 0:
                harmed.append(users)
                break
            if difference - promote > -margin:
                promoted.append(users)
                break
    return Passage(
        promoted=len(promoted) / PATHS,
        harmed=len(harmed) / PATHS,
        promote_users=_median(promoted, math.inf),
        harm_users=_median(harmed, math.inf),
        decided_users=_median(promoted + harmed, looks[-1]),
    )


def smallest_effect(
    *, deviation: float, users: float, alpha: float, planned: int, power: float = 0.84
) -> float:
    """Return the difference that is shown at `users` per variant with probability 0.8.

    `power` is the normal quantile of that probability. Paths may cross sooner, so the probability
    of showing it by then is a little higher.
    """
    return (width(users, planned, alpha) + power) * deviation * math.sqrt(2 / users)


def _looks(first: float, last: float) -> list[float]:
    if last <= first:
        return [max(2.0, last)]
    grow = (last / first) ** (1 / (LOOKS - 1))
    return [first * grow**look for look in range(LOOKS)]


def _bounds(
    users: float, deviation: float, alpha_harm: float, settings: LookSettings
) -> tuple[float, float]:
    error = deviation * math.sqrt(2 / users)
    harm = width(users, settings.harm_planned_users, alpha_harm) * error
    promote = width(users, settings.promote_planned_users, settings.alpha_promote) * error
    return (
        harm if users >= settings.harm_users else math.inf,
        promote if users >= settings.promote_users else math.inf,
    )


def _median(found: list[float], otherwise: float) -> float:
    found = sorted(found) + [otherwise] * (PATHS - len(found))
    return found[PATHS // 2]
