"""Agreement: how well readings go with what was decided; calibration, kappa, reliability."""

import math
from collections.abc import Sequence

import msgspec

BIN_MESSAGES, MOST_BINS = 50, 10
"""Least messages in a bin of a reliability curve, and most bins: fewer a bin measure chance."""


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of like value."""

    said: float
    """Mean of the values."""
    was: float
    """Share that was satisfied."""
    count: int
    """Messages."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Readings beside labels."""

    messages: int
    """How many were held out and read."""
    satisfied: float
    """Share of the labels that are satisfied."""
    accuracy: float
    """Share on whose side of 0.5 the label is."""
    kappa: float
    """Cohen's: 1 agrees always, 0 as often as chance would."""
    ranks: float
    """Probability that a satisfied one has the greater value than a dissatisfied one (AUC)."""
    calibration_error: float
    """Expected calibration error over the bins."""
    bins: tuple[ReliabilityBin, ...]
    """The reliability curve, lowest value first."""


def agreement(values: Sequence[float], labels: Sequence[bool]) -> Agreement:
    """Compare values in [0, 1] with labels; raises ValueError where there are none."""
    if not values or len(values) != len(labels):
        raise ValueError(f"{len(values)} values for {len(labels)} labels")
    count = len(values)
    said = [value >= 0.5 for value in values]
    agreed = sum(one == label for one, label in zip(said, labels, strict=True)) / count
    yes, true = sum(said) / count, sum(labels) / count
    chance = yes * true + (1 - yes) * (1 - true)
    bins = _bins(values, labels)
    return Agreement(
        messages=count,
        satisfied=true,
        accuracy=agreed,
        kappa=0.0 if chance == 1.0 else (agreed - chance) / (1 - chance),
        ranks=_ranks(values, labels),
        calibration_error=math.fsum(one.count * abs(one.said - one.was) for one in bins) / count,
        bins=bins,
    )


def _bins(values: Sequence[float], labels: Sequence[bool]) -> tuple[ReliabilityBin, ...]:
    """Return bins of equally many messages; alike values are never in two."""
    pairs = sorted(zip(values, labels, strict=True))
    size = max(BIN_MESSAGES, math.ceil(len(pairs) / MOST_BINS))
    groups: list[list[tuple[float, bool]]] = [[]]
    for place, pair in enumerate(pairs):
        full = len(groups[-1]) >= size and pair[0] != groups[-1][-1][0]
        if full and len(pairs) - place >= BIN_MESSAGES:
            groups.append([])
        groups[-1].append(pair)
    return tuple(
        ReliabilityBin(
            said=math.fsum(value for value, _ in group) / len(group),
            was=sum(label for _, label in group) / len(group),
            count=len(group),
        )
        for group in groups
    )


def _ranks(values: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the area under the curve by ranks, ties counted half; 0.5 where one class is missing."""
    ordered = sorted(range(len(values)), key=values.__getitem__)
    ranks, place = [0.0] * len(values), 0
    while place < len(ordered):
        end = place
        while end < len(ordered) and values[ordered[end]] == values[ordered[place]]:
            end += 1
        for one in ordered[place:end]:
            ranks[one] = (place + 1 + end) / 2
        place = end
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return 0.5
    total = math.fsum(rank for rank, label in zip(ranks, labels, strict=True) if label)
    return (total - positives * (positives + 1) / 2) / (positives * negatives)
