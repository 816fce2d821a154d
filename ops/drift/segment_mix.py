"""Segment mix: two sides of a comparison as if both had had the same segments in the same shares.

Versions that were not served at the same time had other traffic: where half of it was code and now a
tenth is, every mean moves though no answer did, and a fall in both segments may look like a rise.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class DriftRow(NamedTuple):
    """What one answer adds to a mean."""

    user: str
    """Hashed user."""
    total: float
    """What is added up."""
    over: float
    """Over how many."""
    segment: str
    """Kind of work."""


def same_mix(
    ours: Sequence[DriftRow], theirs: Sequence[DriftRow], least: int
) -> tuple[list[DriftRow], list[DriftRow]]:
    """Return both sides, theirs weighed so that each segment has the share in it that it has in ours.

    A segment in which only one side has `least` users is left out of both: there is nothing to hold it
    against. Those in which neither has so many are one.
    """
    sides = [_users(rows) for rows in (ours, theirs)]
    groups = dict[str, str]()
    for segment in sides[0].keys() | sides[1].keys():
        known = [len(side.get(segment, ())) >= least for side in sides]
        if known[0] == known[1]:
            groups[segment] = segment if known[0] else ""
    counts = [_counts(rows, groups) for rows in (ours, theirs)]
    both = {name for name in counts[0] if counts[0][name] and counts[1].get(name)}
    return [one for one in ours if groups.get(one.segment) in both], [
        one._replace(total=one.total * factor, over=one.over * factor)
        for one in theirs
        if (name := groups.get(one.segment)) in both
        for factor in (counts[0][name] / counts[1][name],)
    ]


def mean_of(rows: Sequence[DriftRow]) -> float:
    """Return what rows add up to over how many; raises ZeroDivisionError without any."""
    return math.fsum(one.total for one in rows) / math.fsum(one.over for one in rows)


def _users(rows: Iterable[DriftRow]) -> dict[str, set[str]]:
    found = defaultdict[str, set[str]](set)
    for one in rows:
        if one.over:
            found[one.segment].add(one.user)
    return found


def _counts(rows: Iterable[DriftRow], groups: Mapping[str, str]) -> dict[str, float]:
    found = defaultdict[str, float](float)
    for one in rows:
        if one.segment in groups:
            found[groups[one.segment]] += one.over
    return found
