"""Levels: a column for everything, one for each segment, and one for each stratum within it.

The ridge shrinks each towards 0, so that a stratum with few answers takes after its segment, and that
one after the rest. Only strata of the batch have columns: what is known of the others is solved for first
(`evidence`), so that a batch costs by its own strata and not by all that ever were.
Legend: N episodes, S strata, L levels.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

WHOLE = 1e-6
"""Precision of the level of everything: it is shrunk to nothing."""
Path = tuple[str, ...]
Known = tuple[str, str, float, float]
"""Stratum, its segment, the answers that its evidence is worth, and the sum of their rewards."""


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
        """Return [L]: how many episodes a level's being like its parent is worth.

        Without any, two levels that hold the same rows could not be told apart.
        """
        least = max(parent_count, WHOLE)
        return torch.tensor([least if name else WHOLE for name in self.names], dtype=torch.float64)

    def evidence(self, known: Iterable[Known], parent_count: float) -> tuple[Tensor, Tensor]:
        """Return what strata say of the levels: precision [L, L] and information [L].

        A stratum without a column of its own says it of its segment, and where that one has none
        either, of everything: its levels are integrated out, which is exact. `count` answers of a
        level that is worth `parent_count` say as much as count parent / (count + parent) of the
        level above it.
        """
        size, per_segment = len(self.names), defaultdict[str, list[float]](lambda: [0.0, 0.0])
        precision_LL = torch.zeros(size, size, dtype=torch.float64)
        information_L = torch.zeros(size, dtype=torch.float64)

        def take(places: Sequence[int], count: float, total: float) -> None:
            at = torch.tensor(places)
            precision_LL[at[:, None], at] += count
            information_L[at] += total

        columns = {level: place for place, level in enumerate(self.names)}
        for stratum, segment, count, total in known:
            path = _path(stratum, segment)
            if stratum in self.places:
                take(self.places[stratum], count, total)
                continue
            share = _upwards(count, parent_count) if len(path) > 2 else 1.0
            per_segment[path[1]][0] += share * count
            per_segment[path[1]][1] += share * total
        for level, (count, total) in per_segment.items():
            if level in columns:
                take([columns[""], columns[level]], count, total)
            else:
                share = _upwards(count, parent_count)
                take([columns[""]], share * count, share * total)
        return precision_LL, information_L


def _upwards(count: float, parent_count: float) -> float:
    """Return which share of a level's evidence is evidence on the level above it."""
    least = max(parent_count, WHOLE)
    return least / (count + least)


def _path(stratum: str, segment: str) -> Path:
    """Everything is the empty name; a stratum that is all of its segment has no level of its own."""
    levels = ("", f"segment {segment}")
    return levels if stratum == segment else (*levels, f"stratum {stratum}")
