"""Evidence: what an update did, measured on its batch and on episodes that were never trained on."""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import torch
from torch import Tensor

from ...kernels.dispatch import LOG_RATIO_LIMIT
from ..candidate import HeldOut, Preference
from ..concordance import JudgedAnswer, concordance
from ..estimators.side_by_side import Estimators
from ..health import LANE
from ..sealed import RATIO, PassedOver, SealedBatch, SealedEpisode
from .score import score
from .selection import Selection, counts_by_rule
from .state import Learner
from .steps import BatchGivenUp
from .weight import weight_metrics

MEASURED_TOKENS = 512
"""Completion tokens of each stratum on which the new weights are measured, where it has so many."""


def measured_after(episodes: Sequence[SealedEpisode], draw: random.Random) -> list[int]:
    """Return which episodes say how far an update moved the policy: a sample, in the batch's order.

    Of each stratum so many, drawn at random, that they have `MEASURED_TOKENS`; of a smaller one all.
    Scoring every answer again was a quarter of an update in one pass, and 512 tokens know a mean
    change of log-probability to about a twentieth.
    """
    order, tokens = list(range(len(episodes))), dict[str, int]()
    draw.shuffle(order)
    found = list[int]()
    for index in order:
        one = episodes[index]
        if tokens.get(one.stratum, 0) < MEASURED_TOKENS:
            tokens[one.stratum] = tokens.get(one.stratum, 0) + len(one.completion_token_ids)
            found.append(index)
    return sorted(found)


def record_drift(
    estimators: Estimators,
    episodes: Sequence[SealedEpisode],
    old: Sequence[Tensor],
    new: Sequence[Tensor],
) -> float:
    """Tell the estimators how far each segment's answers moved; returns the mean over all tokens."""
    moved: dict[str, list[Tensor]] = defaultdict(list)
    for episode, was, now in zip(episodes, old, new, strict=True):
        moved[episode.stratum].append((now - was).abs())
    by_segment = {name: float(torch.cat(parts).mean()) for name, parts in moved.items()}
    overall = float(torch.cat([part for parts in moved.values() for part in parts]).mean())
    if not overall < float("inf"):
        raise BatchGivenUp("the new weights' log-probabilities are not finite")
    estimators.moved(by_segment, overall)
    return overall


def batch_metrics(
    batch: SealedBatch,
    chosen: Selection,
    episodes: Sequence[SealedEpisode],
    baselines: Sequence[float],
) -> dict[str, float]:
    """Return what the ratio lane's episodes were; `episodes` are those that were trained on."""
    count = len(episodes)
    told = {
        "episodes/trained": float(count),
        "episodes/left_out": float(len(chosen.left_out)),
        **counts_by_rule(chosen.left_out),
        **_passed_over(batch.passed_over),
    }
    if not episodes:
        return told
    return told | {
        "reward/mean": sum(e.reward for e in chosen.episodes) / len(chosen.episodes),
        "baseline/mean": sum(baselines) / count,
        "age/mean": sum(episode.age for episode in episodes) / count,
        "age/max": float(max(episode.age for episode in episodes)),
        **weight_metrics(episodes),
        "credit/by_token": sum(bool(e.credit) for e in episodes) / count,
        "completion_tokens/mean": sum(len(e.completion_token_ids) for e in episodes) / count,
    }


def lane_rewards(metrics: Mapping[str, float], ratio: Sequence[SealedEpisode]) -> dict[str, float]:
    """Return the mean reward of what each lane learned from, which its own metrics have; `ratio` are
    those of the ratio lane. An answer may be meant for a lane that could not use it."""
    told = {
        f"{LANE}{name.split('/')[1]}": value
        for name, value in metrics.items()
        if name.startswith("lane/") and name.endswith("/reward")
    }
    if ratio:
        told[f"{LANE}{RATIO}"] = math.fsum(one.reward for one in ratio) / len(ratio)
    return told


def _passed_over(seen: PassedOver | None) -> dict[str, float]:
    """Return how what was too old differs from what was taken; nothing where it was not counted."""
    if seen is None:
        return {}
    both = seen.taken > 0 and seen.too_old > 0
    return {
        "too_old/share": seen.too_old / max(seen.taken + seen.too_old, 1),
        "too_old/reward": seen.too_old_reward - seen.reward if both else 0.0,
        "too_old/reward_error": seen.standard_error if both else 0.0,
        "too_old/delay_seconds": seen.too_old_delay - seen.delay if both else 0.0,
        "too_old/segments_apart": seen.segments_apart,
    }


def held_out_evidence(learner: Learner, episodes: Sequence[SealedEpisode]) -> HeldOut | None:
    """Return the estimate from a batch's held-out episodes, scored under the present weights."""
    if not episodes:
        return None
    log_ratios = [
        float(logp.sum()) - sum(episode.logprobs)
        for episode, logp in zip(episodes, score(learner, episodes).logp, strict=True)
    ]
    return held_out_estimate(log_ratios, [e.earned for e in episodes], [e.weight for e in episodes])


@torch.no_grad()
def token_likelihoods(learner: Learner, episodes: Sequence[SealedEpisode]) -> list[float]:
    """Return each answer's mean log-probability of a token at temperature 1, under what is offered."""
    if not episodes:
        return []
    plain = [
        msgspec.structs.replace(
            one, temperature=1.0, logprobs=(0.0,) * len(one.completion_token_ids), credit=()
        )
        for one in episodes
    ]
    with learner.offered():
        return [float(logp.mean()) for logp in score(learner, plain).logp]


def preference_evidence(
    episodes: Sequence[SealedEpisode], before: Sequence[float], after: Sequence[float]
) -> Preference | None:
    """Return what held-out users' decisions say of the step from `before` to `after`."""
    return concordance(
        [
            JudgedAnswer(one.stratum, one.person, one.earned, now - was, one.weight)
            for one, was, now in zip(episodes, before, after, strict=True)
        ]
    )


def held_out_estimate(
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
