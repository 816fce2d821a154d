"""Weight: how much each episode of a batch counts in its update."""

import math
from collections.abc import Sequence

from ..sealed import SealedEpisode


def token_weight(episodes: Sequence[SealedEpisode]) -> float:
    """Return the mean weight of the episodes' completion tokens.

    Weights 2 and 1 on 1 and 3 tokens: (2 * 1 + 1 * 3) / 4.
    """
    lengths = [len(e.completion_token_ids) for e in episodes]
    weighed = math.fsum(e.weight * n for e, n in zip(episodes, lengths, strict=True))
    return weighed / sum(lengths)


def weight_metrics(episodes: Sequence[SealedEpisode]) -> dict[str, float]:
    """Return mean and least weight, and the share of the batch that as many equal episodes would be.

    That is Kish's effective sample size over the count: (sum w)^2 / (n sum w^2).
    """
    weights = [episode.weight for episode in episodes]
    total, squares = math.fsum(weights), math.fsum(weight * weight for weight in weights)
    return {
        "weight/mean": total / len(weights),
        "weight/min": min(weights),
        "weight/effective_share": total * total / (squares * len(weights)),
    }
