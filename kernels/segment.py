"""Segment losses in plain PyTorch: policy gradient, KTO and DPO over packed episodes.

Tokens of the episodes lie one after another; `bounds` [S + 1] says where each starts, so episode i
has the tokens bounds[i] to bounds[i + 1]. Each loss returns its value per episode and its exact
derivative to each token's log-probability, which the head's `logp` then takes back.
Legend: M tokens, S segments (episodes), P pairs.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .objective import (
    FILTERS,
    LOG_RATIO_LIMIT,
    Dpo,
    Kto,
    Objective,
    PolicyGradient,
    log_ratios,
    probability_moved,
    pulls,
)


class Packed(NamedTuple):
    """Episodes in a row: two of 2 tokens and 1 have bounds 0 2 3."""

    logp: Tensor
    """[M] log-probability of each token under the policy."""
    bounds: Tensor
    """[S + 1] int64, from 0 to M, never falling."""
    behaviour: Tensor | None = None
    """[M] the same when it was drawn (policy gradient)."""
    advantages: Tensor | None = None
    """[M] (policy gradient)."""
    kl: Tensor | None = None
    """[M] exact KL to the anchor, or None (policy gradient)."""
    reference: Tensor | None = None
    """[M] log-probability under the reference (KTO, DPO; k3 term of the policy gradient)."""
    desirable: Tensor | None = None
    """[S] bool: thumb up (KTO)."""
    baseline: Tensor | None = None
    """[1] z (KTO)."""


class SegmentLoss(NamedTuple):
    """A loss per episode (per pair for DPO) and its derivative."""

    losses: Tensor
    """[S] or [P], not divided by anything."""
    grad_M: Tensor
    """[M] derivative of their sum to each token's log-probability."""
    kept: Tensor
    """[S] or [P], bool: not filtered out."""


def segment_loss(packed: Packed, objective: Objective) -> SegmentLoss:
    """Return the losses of packed episodes and their derivative; see the objective's class.

    ValueError, naming the field, where the objective needs one that is None.
    """
    check(packed, objective)
    match objective:
        case PolicyGradient():
            return _policy_gradient(packed, objective)
        case Kto():
            return _kto(packed, objective)
    return _dpo(packed, objective)


NEEDS: dict[type, tuple[str, ...]] = {
    PolicyGradient: ("behaviour", "advantages"),
    Kto: ("reference", "desirable", "baseline"),
    Dpo: ("reference",),
}


def check(packed: Packed, objective: Objective) -> None:
    """Raise ValueError where a field that the objective needs is missing or DPO has half a pair."""
    for name in NEEDS[type(objective)]:
        if getattr(packed, name) is None:
            raise ValueError(f"packed.{name}: {type(objective).__name__} needs it")
    if isinstance(objective, PolicyGradient) and objective.filter not in FILTERS:
        raise ValueError(f"objective.filter: {objective.filter!r} is not one of {FILTERS}")
    if isinstance(objective, Dpo) and len(packed.bounds) % 2 == 0:
        raise ValueError(f"packed.bounds: {len(packed.bounds) - 1} segments are no pairs")


def _policy_gradient(packed: Packed, objective: PolicyGradient) -> SegmentLoss:
    logp_M, bounds, behaviour_M, advantages_M, kl_M, reference_M, _, _ = packed
    assert behaviour_M is not None
    assert advantages_M is not None
    segments_M = segments(bounds, len(logp_M))
    d_M = log_ratios(logp_M, behaviour_M)
    mean_S = sums(d_M, segments_M, len(bounds) - 1) / bounds.diff().clamp(min=1)
    keep_S = _filtered(d_M, mean_S, bounds, segments_M, objective)
    keep_M = keep_S[segments_M]
    if objective.negatives_only:
        keep_M = keep_M | (advantages_M >= 0)
    ratio_M = (mean_S[segments_M] if objective.sequence_ratio else d_M).exp()
    moved_M = probability_moved(logp_M, behaviour_M)
    weight_M = pulls(ratio_M, moved_M, advantages_M, objective.token) * keep_M
    loss_M, grad_M = -weight_M * logp_M, -weight_M
    if kl_M is not None:
        loss_M = loss_M + objective.token.kl_weight * kl_M
    if objective.drift_weight:
        apart_M = logp_M - behaviour_M
        loss_M = loss_M + objective.drift_weight * apart_M.square()
        grad_M = grad_M + 2.0 * objective.drift_weight * apart_M
    if objective.reference_weight and reference_M is not None:
        r_M = (reference_M - logp_M).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        loss_M = loss_M + objective.reference_weight * (r_M.expm1() - r_M)
        grad_M = grad_M - objective.reference_weight * r_M.expm1()
    return SegmentLoss(sums(loss_M, segments_M, len(bounds) - 1), grad_M, keep_S)


def _kto(packed: Packed, objective: Kto) -> SegmentLoss:
    logp_M, bounds, reference_M = packed.logp, packed.bounds, packed.reference
    desirable_S, baseline = packed.desirable, packed.baseline
    assert reference_M is not None
    assert desirable_S is not None
    assert baseline is not None
    segments_M, count = segments(bounds, len(logp_M)), len(bounds) - 1
    liked_S = desirable_S.to(logp_M.dtype)
    sign_S = 2.0 * liked_S - 1.0
    worth_S = liked_S * objective.desirable + (1.0 - liked_S) * objective.undesirable
    apart_S = sums(logp_M - reference_M, segments_M, count) - baseline
    value_S = torch.sigmoid(sign_S * objective.beta * apart_S)
    slope_S = -worth_S * sign_S * objective.beta * value_S * (1.0 - value_S)
    return SegmentLoss(worth_S * (1.0 - value_S), slope_S[segments_M], torch.ones_like(desirable_S))


def _dpo(packed: Packed, objective: Dpo) -> SegmentLoss:
    logp_M, bounds, reference_M = packed.logp, packed.bounds, packed.reference
    assert reference_M is not None
    segments_M, count = segments(bounds, len(logp_M)), len(bounds) - 1
    length_S = bounds.diff().clamp(min=1).to(logp_M.dtype)
    per_S = 1.0 / length_S if objective.by_length else torch.ones_like(length_S)
    apart_S = sums(logp_M - reference_M, segments_M, count) * per_S
    margin_P = objective.beta * (apart_S[0::2] - apart_S[1::2])
    slope_P = -objective.beta * torch.sigmoid(-margin_P)
    slope_S = torch.stack([slope_P, -slope_P], 1).reshape(-1) * per_S
    likely_P = (sums(logp_M, segments_M, count) / length_S)[0::2]
    slope_S[0::2] -= objective.likelihood_weight / length_S[0::2]
    losses = -logsigmoid(margin_P) - objective.likelihood_weight * likely_P
    return SegmentLoss(losses, slope_S[segments_M], torch.ones_like(losses, dtype=torch.bool))


def segments(bounds: Tensor, tokens: int) -> Tensor:
    """Return which segment each token is of [M]; bounds 0 2 2 3 give 0 0 2."""
    places = torch.arange(len(bounds) - 1, device=bounds.device)
    return places.repeat_interleave(bounds.diff(), output_size=tokens)


def sums(values_M: Tensor, segments_M: Tensor, count: int) -> Tensor:
    """Sum per segment [S]; an empty one is 0."""
    return values_M.new_zeros(count).index_add_(0, segments_M, values_M)


def _filtered(
    d_M: Tensor, mean_S: Tensor, bounds: Tensor, segments_M: Tensor, objective: PolicyGradient
) -> Tensor:
    """Whether each episode stays [S]."""
    match objective.filter:
        case "mean":
            return mean_S.abs() <= objective.limit
        case "geometric":
            return mean_S.expm1().abs() <= objective.limit
        case "k3":
            k3_S = sums(d_M.expm1() - d_M, segments_M, len(mean_S)) / bounds.diff().clamp(min=1)
            return k3_S <= objective.limit
        case "stale":
            return -mean_S <= objective.limit
    return torch.ones_like(mean_S, dtype=torch.bool)
