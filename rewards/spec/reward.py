"""Reward: the scalar credit of an episode, with its parts, its costs and the spec that made it."""

from collections.abc import Sequence

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One named contribution."""

    name: str
    """As in the spec: accepted, edit_similarity, kept, rated."""
    value: float | None
    """In [0, 1]; None where the signal is still open or never came. Never silently zero."""
    weight: float
    """Share of the part, as in the spec; where the spec has a profile of the signal behind it, times
    what that tells."""


class Cost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that is taken off."""

    name: str
    """As in the spec."""
    value: float | None
    """At least 0, clipped and divided by its scale; None where the record does not say."""
    weight: float
    """What a value of 1 takes off, as in the spec."""


class Reward(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Weighted mean of the parts that are known, less the costs, mapped to [0, 1].

    Example: accepted (value 1, weight 1) and kept (value 0.5, weight 1) give 0.75; with kept
    still open the reward is 1.0, and `open` names it. A cost of value 0.5 and weight 0.2 makes it
    0.9, and with a range of [-0.2, 1.0] that is (0.9 + 0.2) / 1.2.
    """

    value: float
    """In [0, 1]."""
    parts: tuple[Part, ...]
    """Every part that counts in the segment, known or open, in the spec's order."""
    spec_version: str
    """`name@` and the first 12 hex digits of the spec's SHA-256."""
    costs: tuple[Cost, ...] = ()
    """Every cost that counts in the segment, likewise."""
    undecided: float | None = None
    """The spec's value for answers that nobody decided on, where that stands for the parts' mean."""

    @property
    def open(self) -> tuple[str, ...]:
        """Names of the parts without a value."""
        return tuple(part.name for part in self.parts if part.value is None)


def weighted_mean(parts: Sequence[Part]) -> float | None:
    """Return the weighted mean of the parts with a value; None where none has one."""
    total = weights = 0.0
    for part in parts:
        if part.value is not None:
            total += part.value * part.weight
            weights += part.weight
    return total / weights if weights else None


def taken_off(costs: Sequence[Cost]) -> float:
    """Return what the known costs take off together."""
    return sum([cost.value * cost.weight for cost in costs if cost.value is not None])
