"""Sessions: the answers of a batch that are no evidence for each other's baseline.

What came of a session is the reward of each of its answers, and a later answer's follows from the ones
before it. So a baseline that was fitted on one of them holds some of the other's own reward, and takes
that much off its advantage: of twenty turns with one outcome nearly all of it (explained variance 0.97
where nothing can be expected).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..sealed import SealedEpisode


def sessions(episodes: Sequence[SealedEpisode], among: Iterable[int]) -> list[list[int]]:
    """Return the indices, of those `among`, of each session that has more than one of them."""
    found = defaultdict[int, list[int]](list)
    for index in among:
        if number := episodes[index].session:
            found[number].append(index)
    return [indices for indices in found.values() if len(indices) > 1]
