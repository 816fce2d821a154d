"""REINFORCE++: the batch's mean is the only baseline (arXiv 2501.03262)."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..sealed import SealedEpisode
from .sessions import sessions


class ReinforcePlusPlus:
    """The mean reward of a batch's tokens, whatever their segment; nothing is kept."""

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None
    ) -> list[float | None]:
        """Return for each episode the mean of those of other sessions, weighted by their tokens.

        The paper's mean has the episode's own reward in it, which takes 1/N off its gradient. Rewards
        (1, 0, 0) of 1, 1 and 3 tokens: 0, 1/4 and 1/2.
        """
        tokens = [e.weight * len(e.completion_token_ids) for e in episodes]
        earned = [n * e.earned for n, e in zip(tokens, episodes, strict=True)]
        total, count = math.fsum(earned), math.fsum(tokens)
        own = list(zip(earned, tokens, strict=True))
        for mine in sessions(episodes, range(len(episodes))):
            ours = math.fsum(earned[i] for i in mine), math.fsum(tokens[i] for i in mine)
            for index in mine:
                own[index] = ours
        return [(total - r) / (count - n) if count - n > 1e-9 else None for r, n in own]

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None) -> None:
        """Nothing is kept."""

    def moved(self, by_stratum: Mapping[str, float], otherwise: float) -> None:
        """Nothing is kept."""
