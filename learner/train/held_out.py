"""Held out: estimate a candidate's mean reward from episodes that were never trained on."""

import math
from collections.abc import Sequence

from ..candidate import HeldOut
from .loss import LOG_RATIO_LIMIT


def held_out_evidence(
    log_ratios: Sequence[float], rewards: Sequence[float], weights: Sequence[float] | None = None
) -> HeldOut | None:
    """Self-normalised importance estimate of the candidate's mean reward (SNIPS).

    `log_ratios` are of whole answers: log-probability under the candidate minus that when served,
    summed over tokens. Swaminathan and Joachims 2015; the standard error of the difference is the
    delta method's: sum over answers of (w (r - estimate) / mean(w) - (r - behaviour))^2 / (n (n-1)).
    Weights (1, 3), rewards (0, 1): estimate 0.75, behaviour 0.5, effective sample size 16/10.
    `weights` are the episodes' own: behaviour and estimate are weighted means with them, and in the
    error each summand has the factor of its mean.
    None where there is no episode; of a single one the error is taken as 1, the whole range.
    """
    count = len(rewards)
    if count == 0:
        return None
    clamped = (min(max(value, -LOG_RATIO_LIMIT), LOG_RATIO_LIMIT) for value in log_ratios)
    given = [1.0] * count if weights is None else weights
    ratios = [math.exp(value) * own for value, own in zip(clamped, given, strict=True)]
    total, weight = math.fsum(ratios), math.fsum(given)
    behaviour = math.fsum(g * r for g, r in zip(given, rewards, strict=True)) / weight
    estimate = math.fsum(w * r for w, r in zip(ratios, rewards, strict=True)) / total
    apart = (
        w * count / total * (r - estimate) - g * count / weight * (r - behaviour)
        for w, g, r in zip(ratios, given, rewards, strict=True)
    )
    squares = math.fsum(value * value for value in apart)
    return HeldOut(
        count=count,
        behaviour=behaviour,
        estimate=estimate,
        standard_error=math.sqrt(squares / (count * (count - 1))) if count > 1 else 1.0,
        effective_sample_size=total * total / math.fsum(w * w for w in ratios),
    )
