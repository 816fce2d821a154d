"""Reward: the scalar credit of an episode, with its parts and the spec that made it."""

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One named contribution."""

    name: str
    """As in the spec: accepted, edit_similarity, kept, rated."""
    value: float | None
    """In [0, 1]; None where the signal is still open or never came. Never silently zero."""
    weight: float
    """Share of the part, as in the spec."""


class Reward(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Weighted mean of the parts that are known.

    Example: accepted (value 1, weight 1) and kept (value 0.5, weight 1) give 0.75; with kept
    still open the reward is 1.0, and `open` names it.
    """

    value: float
    """In [0, 1]."""
    parts: tuple[Part, ...]
    """Every part of the spec, known or open, in the spec's order."""
    spec_version: str
    """`name@` and the first 12 hex digits of the spec's SHA-256."""

    @property
    def open(self) -> tuple[str, ...]:
        """Names of the parts without a value."""
        return tuple(part.name for part in self.parts if part.value is None)
