"""Caps: no user, tenant or kind of prompt is more than a stated share of what a batch weighs.

What is beyond a cap is weighed down, and not left out: where somebody sends most of the traffic all of
it still says something. A cap holds after itself: the share is of the weights that it leaves.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any

Weights = Sequence[float]


def capped(
    groups: Sequence[Hashable], weights: Weights, share: float, *, least: float = 0.0
) -> list[float]:
    """Return what each weight is multiplied by so that no group has more than `share` of their sum.

    With fewer than 2 / share groups, a group may have twice an equal part: one of two may have all.
    No factor is below `least`, and then the cap does not hold: somebody small gains no more than that
    from another's cap.

    >>> capped(["a", "a", "a", "b", "c", "d", "e"], [1.0] * 7, 0.4)
    [0.8888888888888888, 0.8888888888888888, 0.8888888888888888, 1.0, 1.0, 1.0, 1.0]
    >>> capped(["a", "a", "b"], [1.0] * 3, 0.1)
    [1.0, 1.0, 1.0]
    """
    sums = _sums(groups, weights)
    level = share_level(list(sums.values()), share)
    return [max(min(1.0, level / sums[one]), least) if sums[one] else 1.0 for one in groups]


def share_level(
    sums: Weights, share: float, *, pool: float = 0.0, people: int | None = None
) -> float:
    """Return the most that a group's sum may be: `share` of all that is left with larger ones cut to it.

    With k of them cut to L and the rest R: L = share (k L + R). `pool` is in R and never cut. The share
    is twice an equal part of `people` (the groups, where None) where that is more.
    """
    allowed = max(share, min(1.0, 2.0 / max(len(sums) if people is None else people, 1)))
    ordered, rest = sorted(sums, reverse=True), sum(sums) + pool
    level = rest
    for count, largest in enumerate(ordered):
        if allowed * count >= 1.0:
            break
        level = allowed * rest / (1.0 - allowed * count)
        if largest <= level:
            break
        rest -= largest
    return level


def user_caps(
    users: Sequence[Hashable | None],
    weights: Weights,
    *,
    share: float,
    times: float,
    unnamed_share: float,
    spent: Mapping[Any, float] | None = None,
    batches: int = 1,
) -> list[float]:
    """Return what each weight is multiplied by so that no user has too much of the batch.

    A named user has at most the share of all. Over the last `batches`, of which `spent` holds what each
    user's answers weighed, this one among them, a user has at most `times` what the median user has;
    who has spent that already has a `batches`-th part of it. All who are not named are one, with a
    share of its own, and never weighed below a half for it: they may be as many people as answers.
    """
    named = _sums(users, weights)
    unnamed = named.pop(None, 0.0)
    people = len(named) + sum(one is None for one in users)
    level = share_level(list(named.values()), share, pool=unnamed, people=people)
    levels = dict.fromkeys(named, level)
    if times and named:
        before = spent or {}
        known = before.keys() | named.keys()
        usual = times * median(before.get(one, 0.0) + named.get(one, 0.0) for one in known)
        for one in named:
            levels[one] = min(level, max(usual - before.get(one, 0.0), usual / batches))
    left, pool = sum(min(each, levels[one]) for one, each in named.items()), 1.0
    if unnamed and left and unnamed_share < 1.0:
        room = unnamed_share / (1.0 - unnamed_share) * left
        pool = max(min(1.0, room / unnamed), 0.5)
    return [
        pool if one is None else min(1.0, levels[one] / named[one]) if named[one] else 1.0
        for one in users
    ]


def _sums(groups: Sequence[Hashable], weights: Weights) -> dict[Hashable, float]:
    sums = defaultdict[Hashable, float](float)
    for group, weight in zip(groups, weights, strict=True):
        sums[group] += weight
    return dict(sums)
