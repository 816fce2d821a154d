"""Caps: no user, tenant or kind of prompt is more than a stated share of what a batch weighs.

What is beyond a cap is weighed down, and not left out: where somebody sends most of the traffic all of
it still says something. A cap holds after itself: the share is of the weights that it leaves.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

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


class Standing(NamedTuple):
    """What is known of a user from the remembered batches before."""

    spent: float = 0.0
    """What the answers weighed together."""
    since: int = 0
    """Batches ago that the first of them was sealed."""
    belief: float = 0.0
    """How far the user is believed to want what others want, 0 to 1."""


def user_caps(
    users: Sequence[Hashable | None],
    weights: Weights,
    *,
    share: float,
    times: float,
    unnamed_share: float,
    standing: Mapping[Any, Standing] | None = None,
    batches: int = 1,
) -> list[float]:
    """Return what each weight is multiplied by so that no user has too much of the batch.

    A named user has at most the share of all. Over the last `batches`, this one among them, a user who
    is not believed has at most what the median user has, and that grows to `times` as much while the
    user is remembered; who has spent it already has a `batches`-th part of it. Who is new may have what
    his heaviest answer weighs. All who are not named are one, with a share of its own, and never weighed
    below a half for it: they may be as many people as answers.
    """
    named = _sums(users, weights)
    unnamed = named.pop(None, 0.0)
    people = len(named) + sum(one is None for one in users)
    level = share_level(list(named.values()), share, pool=unnamed, people=people)
    levels = dict.fromkeys(named, level)
    if times and named:
        single = dict[Hashable, float]()
        for user, weight in zip(users, weights, strict=True):
            single[user] = max(single.get(user, 0.0), weight)
        known = standing or {}
        usual = median(
            known.get(one, Standing()).spent + named.get(one, 0.0)
            for one in known.keys() | named.keys()
        )
        for one in named:
            own = known.get(one, Standing())
            may = usual * (1.0 + (times - 1.0) * own.since / max(batches - 1, 1))
            bound = max(may - own.spent, may / batches) if own.since else max(may, single[one])
            bound, whole = min(level, bound), min(level, named[one])
            levels[one] = bound + own.belief * max(whole - bound, 0.0)
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
