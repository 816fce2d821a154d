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


def worth(weights: Sequence[float]) -> float:
    """Return how many episodes of equal weight say as much: (sum w)^2 / sum w^2 (Kish).

    Weights 1, 1 and 0.01 are worth 2.02.
    """
    total = math.fsum(weights)
    return total * total / math.fsum(weight * weight for weight in weights)


def weight_metrics(episodes: Sequence[SealedEpisode]) -> dict[str, float]:
    """Return mean and least weight, and the share of the batch that as many equal episodes would be.

    That is `worth` over the count.
    """
    weights = [episode.weight for episode in episodes]
    return {
        "weight/mean": math.fsum(weights) / len(weights),
        "weight/min": min(weights),
        "weight/effective_share": worth(weights) / len(weights),
    }
