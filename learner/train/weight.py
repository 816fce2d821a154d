"""Weight: how much each episode of a batch counts in its update."""

import math
from collections.abc import Sequence

from ..chains import dealt
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


def minibatches(
    units: Sequence[Sequence[int]], weights: Sequence[float], size: int
) -> list[list[int]]:
    """Return the episodes of a pass's steps, cut so that each step has about the same weight.

    There are as many as the batch is `worth` in episodes of equal weight, by `size`: who sends many
    answers that count for little buys no steps by them. (384 answers of weight 0.04 beside 256 of 1
    made 10 steps of 4: the more of them, the farther the same evidence moved the policy.)
    Four of weight 1 at size 3 are two and two; with two more of weight 0.01 they are the same.
    `units` are single episodes and chains; a chain goes into one step, as `dealt` has it, since only
    within a step does what it shares pass the model once.
    """
    if not units:
        return []
    # A hair less, so that rounding opens no step of its own.
    share = math.fsum(weights) / max(1, math.ceil(worth(weights) / size - 1e-9))
    found = dealt(units, weights, share=share)
    return [found[place] for place in sorted(found)]


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
