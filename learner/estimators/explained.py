"""Explained: how much of a batch's rewards each estimator had expected, and what it leaves as spread."""

import math
from collections.abc import Mapping, Sequence

from ..sealed import SealedEpisode


def estimator_metrics(
    episodes: Sequence[SealedEpisode], values: Mapping[str, Sequence[float | None]]
) -> dict[str, float]:
    """Return `estimator/NAME/explained_variance` and `.../advantage_spread` for each set of baselines.

    The first is 1 - E[(r - b)^2] / E[(r - mean r)^2] by the episodes' weights: 1 where all was
    expected, 0 where the batch's mean says as much, below 0 where it says more; 0 where no reward
    differs. The second is the spread of r - b over tokens, before it is scaled to 1: of two
    estimators the one that leaves less needs fewer answers. Both are over the episodes for which
    every estimator has a baseline.
    """
    rows = [i for i in range(len(episodes)) if all(v[i] is not None for v in values.values())]
    chosen = [episodes[i] for i in rows]
    weights = [e.weight for e in chosen]
    tokens = [e.weight * len(e.completion_token_ids) for e in chosen]
    total = _variance([e.earned for e in chosen], weights)
    found = dict[str, float]()
    for name, all_of_it in values.items():
        left = [e.earned - (all_of_it[i] or 0.0) for i, e in zip(rows, chosen, strict=True)]
        squares = math.fsum(w * a * a for w, a in zip(weights, left, strict=True))
        error = squares / math.fsum(weights) if rows else 0.0
        found[f"estimator/{name}/explained_variance"] = 1.0 - error / total if total else 0.0
        found[f"estimator/{name}/advantage_spread"] = math.sqrt(_variance(left, tokens))
    return found


def _variance(values: Sequence[float], weights: Sequence[float]) -> float:
    total = math.fsum(weights)
    if total <= 0.0:
        return 0.0
    mean = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total
    return math.fsum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / total
