"""Spread: which episodes of a batch can say that one answer was better than another."""

from collections import defaultdict
from collections.abc import Sequence

from ..sealed import SealedEpisode


def by_stratum(episodes: Sequence[SealedEpisode]) -> dict[str, list[int]]:
    """Return the indices of each stratum's episodes."""
    found = defaultdict[str, list[int]](list)
    for index, episode in enumerate(episodes):
        found[episode.stratum].append(index)
    return found


def with_spread(episodes: Sequence[SealedEpisode]) -> list[bool]:
    """Return for each episode whether its batch and its stratum have rewards that differ.

    An episode that is alone in its stratum, or in the batch, has: its baseline comes from elsewhere.
    """
    found = [True] * len(episodes)
    everything = range(len(episodes))
    for indices in (everything, *by_stratum(episodes).values()):
        if len(indices) > 1 and _equal([episodes[index].reward for index in indices]):
            for index in indices:
                found[index] = False
    return found


def told_apart(
    episodes: Sequence[SealedEpisode], values: Sequence[float | None]
) -> list[float | None]:
    """Return the baselines, None where the rewards cannot tell which answer was better.

    That is without spread, or without a baseline; and for one that is alone in its stratum where it
    earned what was expected.
    """
    spread, alone = with_spread(episodes), set[int]()
    for indices in by_stratum(episodes).values():
        alone |= set(indices) if len(indices) == 1 else set()
    return [
        None
        if value is None or not spread[i] or (i in alone and _equal([value, episodes[i].earned]))
        else value
        for i, value in enumerate(values)
    ]


def _equal(rewards: Sequence[float]) -> bool:
    """True where rewards differ by rounding alone, which Adam would make a whole step of."""
    return max(rewards) - min(rewards) < 1e-9
