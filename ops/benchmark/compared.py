"""Compared: versions' answers to the same requests, metric by metric: the champion's beside it, and v0's.

The unit is the person, by the mean of the differences of their requests. Where neither version is the
better one each person's difference is as likely to have the other sign: so it is shown by how many of
all signs the sum is as large (Fisher's randomization test, The Design of Experiments, 1935), which is
exact with few people, too. Of habits it is the sign test.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..statistics.verdict import Verdict, VerdictKind
from .replayed import ReplayedAnswer, does
from .settings import BOUNDS, UNBOUND

EXACT = 14
"""People up to whom all signs are tried; of more a sample."""
DRAWS = 10_000
"""Signs that are drawn."""
IN_ALL = "in all, step by step"
"""How a reason begins that names what a version and the champions before it add up to."""


class ReplayPair(NamedTuple):
    """The answers to one request."""

    tools: bool
    """Whether tools were offered."""
    ours: ReplayedAnswer
    """The candidate's."""
    theirs: ReplayedAnswer
    """The champion's."""
    anchor: ReplayedAnswer | None = None
    """v0's; None where it was not asked, or the engine failed at it."""


class Excess(NamedTuple):
    """By how much a candidate is the worse in one metric."""

    ours: float
    """Mean of the candidate's people."""
    theirs: float
    """Of the champion's."""
    harm: float
    """How much worse; relative for lengths and seconds."""
    chance: float
    """Probability of so much, or more, where neither is the worse."""
    people: int
    """People of whom it can be told."""


class _Side(NamedTuple):
    whose: str
    prefix: str
    bounds: Mapping[str, float]
    pairs: Sequence[ReplayPair]


def judge_replay(
    pairs: Sequence[ReplayPair],
    bounds: Mapping[str, float],
    alpha: float,
    total: Mapping[str, float] | None = None,
) -> Verdict:
    """Return FAIL where a metric is shown to be worse and is so by more than its bound, PASS otherwise.

    `total` has the bounds against v0, where it answered: the versions of a line that each lose less than
    `bounds` against the one before it lose much together. `alpha` is divided among both, and each part
    among its bounds. A version that answers as they do is refused with that probability at most; one that
    is worse by less than a bound is not, however sure that is.
    """
    sides = [_Side("the champion's", "champion", bounds, pairs)]
    if total:
        beside = [one._replace(theirs=one.anchor) for one in pairs if one.anchor is not None]
        sides.append(_Side("v0's", "anchor", total, beside))
    breaches, least = dict[str, str](), 0
    numbers = {"pairs": float(len(pairs)), "people": float(_people(pairs))}
    for side in sides:
        each = alpha / len(sides) / max(1, len(side.bounds))
        least = max(least, math.ceil(math.log2(1 / each)))
        for name, said in _breaches(side, each, numbers):
            # What is worse than the champion's at once is no sum of small steps.
            breaches.setdefault(name, said)
    numbers |= _costs(pairs)
    numbers["least_shown"] = float(least)
    outcome = VerdictKind.FAIL if breaches else VerdictKind.PASS
    return Verdict(
        outcome=outcome,
        reasons=tuple(breaches.values()) or (_passed(sides, least),),
        numbers=numbers,
    )


def _breaches(side: _Side, each: float, numbers: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the metrics that are worse than a side's by more than its bounds, and put down all numbers."""
    in_all = side.prefix == "anchor"
    chance = "anchor_chance" if in_all else "chance"
    for name in metrics():
        if (one := excess(name, side.pairs)) is None:
            continue
        told = {f"{side.prefix}/{name}": one.theirs, f"{chance}/{name}": one.chance}
        numbers |= told if in_all else {name: one.ours, **told}
        if name in side.bounds and one.chance <= each and one.harm > side.bounds[name]:
            before = f"{IN_ALL}: " if in_all else ""
            beside = numbers.get(f"champion/{name}") if in_all else None
            between = "" if beside is None else f" and the champion's {beside:.3g}"
            said = f"{before}{name} {one.ours:.3g}, {side.whose} {one.theirs:.3g}{between}"
            said += f" on the same requests (worse by {one.harm:.3g}, bound {side.bounds[name]:g},"
            yield name, f"{said} {one.people} people, by chance {one.chance:.1g})"


def _passed(sides: Sequence[_Side], least: int) -> str:
    pairs, people = len(sides[0].pairs), _people(sides[0].pairs)
    both = "the champion and v0" if len(sides) > 1 else "the champion"
    strength = f"; what {least} people's answers alone do is shown"
    if people < least:
        strength = f"; too few to show a habit, for which {least} people are needed"
    return f"answers as {both} on {pairs} requests of {people} people{strength}"


def _people(pairs: Iterable[ReplayPair]) -> int:
    return len({one.ours.person for one in pairs})


def metrics() -> tuple[str, ...]:
    """Return the metrics, in the order in which they are told."""
    return (*BOUNDS, *UNBOUND)


def excess(metric: str, pairs: Iterable[ReplayPair]) -> Excess | None:
    """Return by how much the candidate is the worse; None where it can be told of nobody."""
    of = defaultdict[int, list[tuple[float, float]]](list)
    for pair in pairs:
        mine, its = _value(metric, pair.ours, pair.tools), _value(metric, pair.theirs, pair.tools)
        if mine is None and its is None:
            continue
        if metric in _HABITS:
            # Who makes no call makes no invalid one.
            of[pair.ours.person].append((mine or 0.0, its or 0.0))
        elif mine is not None and its is not None:
            of[pair.ours.person].append((mine, its))
    if not of:
        return None
    means = np.array([np.mean(each, axis=0) for each in of.values()])
    ours, theirs = (float(side) for side in means.mean(axis=0))
    sign = -1.0 if metric in _MORE_IS_BETTER else 1.0
    harm = sign * (ours - theirs)
    if metric in _RELATIVE:
        harm /= max(theirs, 1e-9)
    chance = sign_flips(sign * (means[:, 0] - means[:, 1]))
    return Excess(ours, theirs, harm, chance, len(means))


_MORE_IS_BETTER = ("worth", "taken")
_RELATIVE = ("length", "seconds")
_NUMBERS = (*_MORE_IS_BETTER, *_RELATIVE)
_HABITS = frozenset(name for name in metrics() if name not in _NUMBERS)


def _value(metric: str, answer: ReplayedAnswer, tools: bool) -> float | None:
    match metric:
        case "length":
            return None if answer.tokens is None else float(answer.tokens)
        case "seconds":
            return answer.seconds
        case "worth":
            return answer.worth
        case "taken":
            return answer.taken
        case "empty":
            return float(answer.empty)
        case _:
            found = does(answer, tools).get(metric)
            return None if found is None else float(found)


def sign_flips(differences: npt.NDArray[np.float64]) -> float:
    """Return the probability of so large a sum, or a larger, where each difference has either sign.

    All signs of up to `EXACT` differences that are not 0, else `DRAWS` of them, drawn with one seed; the
    one that was seen counts among them. What is rarer than a draw can show is bounded by
    exp(-sum^2 / (2 sum of squares)) (Hoeffding, 1963, theorem 2): else an `alpha` that is small could never
    be reached.

    >>> sign_flips(np.array([1.0, 1.0, 1.0, 0.0])), sign_flips(np.array([0.0]))
    (0.125, 1.0)
    """
    told = differences[differences != 0]
    if not len(told):
        return 1.0
    seen = float(told.sum()) - 1e-6 * float(np.abs(told).sum())
    if len(told) <= EXACT:
        bits = np.arange(1 << len(told))[:, None] >> np.arange(len(told)) & 1
        return float(np.mean((2 * bits - 1) @ told >= seen))
    if len(set(np.abs(told).tolist())) == 1:
        return _as_large(len(told), int((told > 0).sum()))
    # The sum of all differences less twice those whose sign is turned: a matrix of numbers, so that it is
    # one product and fast.
    turned = np.random.default_rng(0).integers(0, 2, (DRAWS, len(told)), dtype=np.int8)
    sums = told.sum() - 2 * (turned.astype(np.float32) @ told.astype(np.float32))
    drawn = float((1 + np.sum(sums >= seen)) / (1 + DRAWS))
    bound = math.exp(-(max(0.0, seen) ** 2) / (2.0 * float((told**2).sum())))
    return min(drawn, bound)


def _as_large(count: int, more: int) -> float:
    """Return the probability of at least so many heads, exactly: of equal differences."""
    return sum(math.comb(count, k) for k in range(more, count + 1)) / (1 << count)


def _costs(pairs: Sequence[ReplayPair]) -> dict[str, float]:
    """Return what the replay cost, and in which share of the people what they took became likelier."""
    found = dict[str, float]()
    for side, answers in (
        ("", [one.ours for one in pairs]),
        ("champion/", [one.theirs for one in pairs]),
        ("anchor/", [one.anchor for one in pairs if one.anchor is not None]),
    ):
        if not answers:
            continue
        found[f"{side}tokens"] = float(sum(one.tokens or 0 for one in answers))
        found[f"{side}answer_seconds"] = math.fsum(one.seconds for one in answers)
    of = defaultdict[int, list[float]](list)
    for pair in pairs:
        if pair.ours.taken is not None and pair.theirs.taken is not None:
            of[pair.ours.person].append(pair.ours.taken - pair.theirs.taken)
    if of:
        found["taken_likelier"] = sum(math.fsum(one) > 0 for one in of.values()) / len(of)
    return found
