"""Levels: a column for everything, one for each segment, and one for each stratum within it.

The ridge shrinks each towards 0, so that a stratum with few answers takes after its segment, and that
one after the rest. Legend: N episodes, S known strata, L levels.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..sealed import SealedEpisode

WHOLE = 1e-6
"""Precision of the level of everything: it is shrunk to nothing."""
Path = tuple[str, ...]


class Levels:
    """Which columns each stratum has."""

    def __init__(self, segments: Mapping[str, str]) -> None:
        """`segments` has the segment of each stratum."""
        paths = {stratum: _path(stratum, segment) for stratum, segment in sorted(segments.items())}
        columns = dict.fromkeys(level for path in paths.values() for level in path)
        self.names = list(columns)
        places = {level: place for place, level in enumerate(self.names)}
        self.places = {s: [places[level] for level in path] for s, path in paths.items()}

    def rows(self, strata: Sequence[str]) -> Tensor:
        """Return [len(strata), L] with a 1 for each level of a row's stratum."""
        found = torch.zeros(len(strata), len(self.names), dtype=torch.float64)
        for row, stratum in enumerate(strata):
            found[row, self.places[stratum]] = 1.0
        return found

    def precision(self, parent_count: float) -> Tensor:
        """Return [L]: how many episodes a level's being like its parent is worth."""
        return torch.tensor(
            [parent_count if name else WHOLE for name in self.names], dtype=torch.float64
        )


def strata_of(episodes: Sequence[SealedEpisode]) -> list[str]:
    """Return the stratum of each episode."""
    return [episode.stratum for episode in episodes]


def _path(stratum: str, segment: str) -> Path:
    """Everything is the empty name; a stratum that is all of its segment has no level of its own."""
    levels = ("", f"segment {segment}")
    return levels if stratum == segment else (*levels, f"stratum {stratum}")
