"""Confounds: what latency and the user's own strictness add to a reward, whatever the answer was.

    reward = what the answer is worth + beta (x - g z) + u + noise

x is the logarithm of the latency, z that of the answer's length: how long an answer takes because it is
long is the policy's own doing and stays. beta is one number a segment, by least squares of reward on x
and z, each about its mean in its batch and segment, so that neither a segment's level nor a policy that
gets better is mistaken for it. u is the user's mean of what is left, drawn to 0 by as much as such means
vary by chance alone (empirical Bayes, Efron and Morris 1973). All is fitted on sealed batches from
before. What cannot be told from chance is taken as none: beta by (1 - (2 / t)^2) with t its value over
its standard error, the variance of u less one standard error of itself.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
User = tuple[str, str]

FEWEST = 30
"""Answers of a segment below which its latency explains nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer of a sealed batch, as far as confounds ask."""

    batch: int
    """Its batch: what is compared is compared within one."""
    segment: str
    """Its segment."""
    user: User | None
    """Tenant and hash; None where nobody was named."""
    latency: float
    """Seconds; 0 where unknown."""
    tokens: int
    """Length of the answer."""
    reward: float
    """In [0, 1]; of an answer whose confound is asked for it is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confounds:
    """What was found in batches from before."""

    slopes: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By segment: beta, and g, the change of x with z."""
    users: dict[User, float] = field(default_factory=dict)
    """u of each user who is known."""

    def of(self, answers: Sequence[Answered]) -> list[float]:
        """Return what confounds add to the reward of each of a batch's answers."""
        found = [self.users.get(one.user, 0.0) if one.user else 0.0 for one in answers]
        if not self.slopes:
            return found
        places, x, z = _centred(answers, _logs(answers))
        for at, place in enumerate(places):
            beta, with_length = self.slopes.get(answers[place].segment, (0.0, 0.0))
            found[place] += beta * float(x[at] - with_length * z[at])
        return found


def fit_confounds(answers: Sequence[Answered]) -> Confounds:
    """Fit on the answers of sealed batches."""
    places, x, z = _centred(answers, _logs(answers))
    rewards = _rewards(answers)
    _, r, _ = _centred(answers, np.stack([rewards, rewards]))
    by_segment = defaultdict[str, list[int]](list)
    for at, place in enumerate(places):
        by_segment[answers[place].segment].append(at)
    slopes = {}
    for segment, ats in by_segment.items():
        if (slope := _slope(x[ats], z[ats], r[ats])) is not None:
            slopes[segment] = slope
    rest = _without_latency(answers, Confounds(slopes=slopes))
    return Confounds(slopes=slopes, users=_strictness(answers, rest))


def _slope(x: Floats, z: Floats, r: Floats) -> tuple[float, float] | None:
    """Return beta, drawn to 0 where it may be chance, and g; None where there is nothing to see."""
    count, zz = len(x), float(z @ z)
    with_length = float(x @ z) / zz if zz > 1e-12 else 0.0
    own = x - with_length * z
    spread = float(own @ own)
    if count < FEWEST or spread < 1e-9 * count:
        return None
    by_length = float(r @ z) / zz if zz > 1e-12 else 0.0
    beta = float(own @ r) / spread
    left = r - by_length * z - beta * own
    error = float(np.sqrt(float(left @ left) / max(count - 3, 1) / spread))
    kept = 1.0 if error == 0.0 else max(0.0, 1.0 - (2.0 * error / beta) ** 2) if beta else 0.0
    return (beta * kept, with_length) if kept else None


def _strictness(answers: Sequence[Answered], rest: Floats) -> dict[User, float]:
    """Return the mean of what is left of each user's rewards, drawn to 0."""
    own = defaultdict[User, list[float]](list)
    for one, left in zip(answers, rest, strict=True):
        if one.user is not None:
            own[one.user].append(float(left))
    counts = np.array([len(each) for each in own.values()], dtype=np.float64)
    total = float(counts.sum())
    if len(own) < 2 or total <= len(own):
        return {}
    means = np.array([sum(each) / len(each) for each in own.values()])
    within = sum(
        sum((value - mean) ** 2 for value in each)
        for each, mean in zip(own.values(), means, strict=True)
    ) / (total - len(own))
    chance = within * (len(own) + np.sqrt(2.0 * len(own)))
    between = max(0.0, (float(counts @ means**2) - chance) / total)
    if between <= 0.0:
        return {}
    drawn = means * counts * between / (counts * between + within)
    return {user: float(one) for user, one in zip(own, drawn, strict=True)}


def _without_latency(answers: Sequence[Answered], found: Confounds) -> Floats:
    """Return rewards about their batch's and segment's mean, less what latency explains."""
    rewards = _rewards(answers)
    explained = np.array(found.of(answers), dtype=np.float64)
    left = rewards - explained
    for places in _groups(answers).values():
        left[places] -= left[places].mean()
    return left


def _centred(answers: Sequence[Answered], values: Floats) -> tuple[list[int], Floats, Floats]:
    """Return the places of answers of known latency, and their `values` [2, N] about their means."""
    places, first, second = list[int](), list[Floats](), list[Floats]()
    for group in _groups(answers).values():
        known = [place for place in group if answers[place].latency > 0.0]
        if known:
            places += known
            first.append(values[0, known] - values[0, known].mean())
            second.append(values[1, known] - values[1, known].mean())
    empty = np.zeros(0)
    return places, np.concatenate([empty, *first]), np.concatenate([empty, *second])


def _groups(answers: Sequence[Answered]) -> dict[tuple[int, str], list[int]]:
    groups = defaultdict[tuple[int, str], list[int]](list)
    for place, one in enumerate(answers):
        groups[one.batch, one.segment].append(place)
    return groups


def _logs(answers: Sequence[Answered]) -> Floats:
    latency = np.array([one.latency for one in answers], dtype=np.float64)
    tokens = np.array([one.tokens for one in answers], dtype=np.float64)
    return np.stack([np.log(np.maximum(latency, 1e-3)), np.log1p(tokens)])


def _rewards(answers: Sequence[Answered]) -> Floats:
    return np.array([one.reward for one in answers], dtype=np.float64)
