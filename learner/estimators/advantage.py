"""Advantage: how much better an answer did than its segment's baseline, on a common scale."""

import math
from collections.abc import Sequence


def standardised(
    rewards: Sequence[float],
    values: Sequence[float | None],
    tokens: Sequence[float],
    *,
    floor: float,
) -> list[float | None]:
    """Return reward minus baseline, centred and scaled with each episode weighted by its `tokens`:
    their number times the episode's weight.

    The weighting makes the mean over what the loss sums up, tokens, zero (SPO++, arXiv 2608.24870).
    The spread is never taken below `floor`, so that a batch of near-equal rewards stays small.
    Rewards (1, 0), baselines (0.5, 0.5), 1 and 3 tokens: differences 0.5 and -0.5, mean -0.25,
    spread sqrt((0.75^2 + 3 * 0.25^2) / 4) = 0.4330, advantages 1.7321 and -0.5774.
    Without a baseline (None) there is no advantage, and the episode has no part in mean and spread.
    """
    raw = _differences(rewards, values)
    mean, spread = _moments(raw, tokens)
    scale = max(spread, floor)
    return [None if a is None else (a - mean) / scale for a in raw]


def per_reward(
    rewards: Sequence[float],
    values: Sequence[float | None],
    tokens: Sequence[float],
    *,
    floor: float,
) -> float:
    """Return how much advantage a reward of 1 more is, on the scale of `standardised`."""
    return 1 / max(_moments(_differences(rewards, values), tokens)[1], floor)


def _differences(rewards: Sequence[float], values: Sequence[float | None]) -> list[float | None]:
    return [
        None if value is None else reward - value
        for reward, value in zip(rewards, values, strict=True)
    ]


def _moments(raw: Sequence[float | None], tokens: Sequence[float]) -> tuple[float, float]:
    """Return mean and spread of the differences, each weighed by its tokens."""
    known = [(a, n) for a, n in zip(raw, tokens, strict=True) if a is not None]
    total = sum(n for _, n in known)
    assert total > 0, "no completion tokens"
    mean = math.fsum(a * n for a, n in known) / total
    return mean, math.sqrt(math.fsum((a - mean) ** 2 * n for a, n in known) / total)
