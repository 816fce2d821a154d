"""Passage: when a sequential comparison is likely to decide, from the size of the effect alone."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .answers import Floats
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
    means: tuple[float, float],
    deviations: tuple[float, float],
    margin: float,
    most_users: float,
    alpha_harm: float,
    settings: LookSettings,
    seed: int = 0,
) -> Passage:
    """Return how comparisons end that are looked at all the time until `most_users` per variant.

    `means` are candidate's and control's, `deviations` what a user's mean spreads by in each, and
    `margin` is the relative loss that a promotion must exclude. As in a readout, harm is tested by
    candidate - control and a goal by candidate - (1 - margin) control, each with its own error: at
    a base rate of 1 % half of the successes have half of the variance, and a planner that gives
    both variants the control's asks for 1.4 times the users (measured). Each variant's sum is a
    Brownian motion over users with drift, drawn at looks whose distances grow geometrically.
    Reproducible for a seed; with 2,000 paths a share is right within 0.02.
    """
    generator = np.random.default_rng(seed)
    users = np.array(_looks(settings.harm_users, most_users))
    new = np.diff(users, prepend=0.0)
    ours, theirs = (
        np.cumsum(mean * new + deviation * np.sqrt(new) * draw, axis=1) / users
        for mean, deviation, draw in zip(
            means, deviations, generator.standard_normal((2, PATHS, len(users))), strict=True
        )
    )
    harm, promote = _bounds(users, deviations, 1 - margin, alpha_harm, settings)
    harmed = _first(ours - theirs < -harm)
    promoted = _first(ours - (1 - margin) * theirs > promote)
    is_harm = (harmed <= promoted) & (harmed < len(users))
    is_good = promoted < harmed
    ends = np.append(users, math.inf)
    last = np.append(users, users[-1])
    return Passage(
        promoted=float(is_good.mean()),
        harmed=float(is_harm.mean()),
        promote_users=_middle(np.where(is_good, ends[promoted], math.inf)),
        harm_users=_middle(np.where(is_harm, ends[harmed], math.inf)),
        decided_users=_middle(last[np.minimum(harmed, promoted)]),
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
    users: Floats,
    deviations: tuple[float, float],
    factor: float,
    alpha_harm: float,
    settings: LookSettings,
) -> tuple[Floats, Floats]:
    """Return how far harm and promotion lie from 0 at each look."""
    ours, theirs = deviations

    def reach(planned: int, alpha: float, scale: float, first: int) -> Floats:
        widths = np.array([width(each, planned, alpha) for each in users])
        error = np.sqrt((ours**2 + (scale * theirs) ** 2) / users)
        return np.where(users >= first, widths * error, math.inf)

    return (
        reach(settings.harm_planned_users, alpha_harm, 1.0, settings.harm_users),
        reach(
            settings.promote_planned_users, settings.alpha_promote, factor, settings.promote_users
        ),
    )


def _first(crossed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return each path's first look that crosses; the number of looks where none does."""
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), crossed.shape[1])


def _middle(found: Floats) -> float:
    return float(np.sort(found)[len(found) // 2])
