"""Drift pair: a version, and what its behaviour is held against."""

from typing import NamedTuple

from .drift_answers import Side


class DriftPair(NamedTuple):
    """A version and what it is held against."""

    version: str
    """The version."""
    against: str
    """The reference, in words."""
    ours: Side
    """Its answers."""
    theirs: Side
    """The reference's."""
    concurrent: bool = True
    """Whether both were served at the same time: phrases are compared only then, and the rest as if both
    had the same mix of segments where they were not."""
    total: bool = False
    """Whether the reference stays the same from version to version, so that small steps add up."""
    champion: str = ""
    """The champion that a candidate was made from, where that was held against the same reference."""
