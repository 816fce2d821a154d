"""Concordance: of two answers to one kind of work, how often a version raised the better one more.

    C = sum_ij a_ij [raised_i > raised_j] / sum_ij a_ij,    a_ij = w_i w_j (earned_i - earned_j)

over the pairs of a stratum in which i earned more; where both were raised alike, a pair counts half. It is
Harrell's index (JAMA 247, 1982), and the area under the ROC curve where rewards are 0 or 1. 1/2 says that
nothing was learned, less that the opposite was. It needs no probability by which an answer was drawn, so
that it tells of greedy answers too; it says which way a version goes, and not how much better it answers.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

from .candidate import Preference

ALIKE = 1e-6
"""Differences below are of the arithmetic: the same answer in two packs."""


class JudgedAnswer(NamedTuple):
    """A held-out answer that somebody decided on."""

    stratum: str
    """Only answers of one are compared: what another kind of work earns says nothing of this one's."""
    user: Hashable
    """Whom it answered."""
    earned: float
    """Its reward."""
    raised: float
    """By how much the version finds a token of it likelier than its parent did, on average."""
    weight: float = 1.0
    """How much it counts."""


def concordance(judged: Sequence[JudgedAnswer]) -> Preference | None:
    """Return the index with its error; None where no two answers can be compared.

    The error is the jackknife's over users (Efron and Stein, 1981: on average no smaller than the true
    one), since answers of one user are alike. Of a single user's pairs it is 0.5, the whole range.

    >>> told = [JudgedAnswer("s", 1, 1.0, 0.5), JudgedAnswer("s", 2, 0.0, -0.1), JudgedAnswer("s", 3, 0.0, 0.9)]
    >>> concordance(told).concordance
    0.5
    """
    pairs, right = defaultdict[Hashable, float](float), defaultdict[Hashable, float](float)
    strata = defaultdict[str, list[JudgedAnswer]](list)
    for one in judged:
        strata[one.stratum].append(one)
    total = agreed = 0.0
    for one, other in (pair for each in strata.values() for pair in combinations(each, 2)):
        better, worse = (one, other) if one.earned > other.earned else (other, one)
        worth = one.weight * other.weight * (better.earned - worse.earned)
        if not worth:
            continue
        rose = better.raised - worse.raised
        agrees = worth * (0.5 if abs(rose) < ALIKE else float(rose > 0))
        total, agreed = total + worth, agreed + agrees
        for user in {one.user, other.user}:
            pairs[user] += worth
            right[user] += agrees
    if not total:
        return None
    return Preference(
        count=len(judged),
        users=len(pairs),
        effective_users=math.fsum(pairs.values()) ** 2 / math.fsum(v * v for v in pairs.values()),
        concordance=agreed / total,
        standard_error=_jackknife(
            [(agreed - right[user], total - pairs[user]) for user in pairs], total
        ),
    )


def _jackknife(without: Sequence[tuple[float, float]], total: float) -> float:
    """Return the standard error from what is left without each user."""
    if any(left <= 1e-9 * total for _, left in without):
        return 0.5
    found = [agreed / left for agreed, left in without]
    mean, count = math.fsum(found) / len(found), len(found)
    return math.sqrt((count - 1) / count * math.fsum((one - mean) ** 2 for one in found))
