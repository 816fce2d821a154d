"""REINFORCE++: the batch's mean is the only baseline (arXiv 2501.03262)."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..sealed import SealedEpisode


class ReinforcePlusPlus:
    """The mean reward of a batch's tokens, whatever their segment; nothing is kept."""

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None
    ) -> list[float | None]:
        """Return for each episode the mean of the others, weighted by their tokens.

        The paper's mean has the episode's own reward in it, which takes 1/N off its gradient. Rewards
        (1, 0, 0) of 1, 1 and 3 tokens: 0, 1/4 and 1/2.
        """
        tokens = [e.weight * len(e.completion_token_ids) for e in episodes]
        total = math.fsum(n * e.earned for n, e in zip(tokens, episodes, strict=True))
        count = math.fsum(tokens)
        return [
            (total - n * e.earned) / (count - n) if count - n > 0.0 else None
            for n, e in zip(tokens, episodes, strict=True)
        ]

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None) -> None:
        """Nothing is kept."""

    def moved(self, by_stratum: Mapping[str, float], otherwise: float) -> None:
        """Nothing is kept."""
