"""segment_loss: packed policy-gradient, KTO and DPO losses with their derivative, in one launch.

One program per episode, or per pair for DPO: it goes over its tokens once for the sum that the
filter or the preference needs, and once to write the derivative. A pack of some hundred short
answers is a single launch, where a loop over episodes would be as many. No atomics.
Equal to `segment.segment_loss`.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .objective import (
    FILTERS,
    LOG_RATIO_LIMIT,
    Dpo,
    Kto,
    Objective,
    PolicyGradient,
)
from .ratio import log_ratio, token_pull
from .segment import Packed, SegmentLoss, check

BLOCK = 256
WARPS = 2

MEAN = tl.constexpr(1)
GEOMETRIC = tl.constexpr(2)
K3 = tl.constexpr(3)
STALE = tl.constexpr(4)


@triton.jit
def _apart(logp_ptr, other_ptr, first, last, BLOCK: tl.constexpr):
    """Sum of logp - other over a segment."""
    total = tl.zeros((BLOCK,), logp_ptr.dtype.element_ty)
    for start in range(first, last, BLOCK):
        places = start + tl.arange(0, BLOCK)
        inside = places < last
        logp = tl.load(logp_ptr + places, mask=inside, other=0.0)
        total += logp - tl.load(other_ptr + places, mask=inside, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _total(values_ptr, first, last, BLOCK: tl.constexpr):
    """Sum over a segment."""
    total = tl.zeros((BLOCK,), values_ptr.dtype.element_ty)
    for start in range(first, last, BLOCK):
        places = start + tl.arange(0, BLOCK)
        total += tl.load(values_ptr + places, mask=places < last, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _fill(out_ptr, value, first, last, BLOCK: tl.constexpr):
    for start in range(first, last, BLOCK):
        places = start + tl.arange(0, BLOCK)
        filled = tl.zeros((BLOCK,), out_ptr.dtype.element_ty) + value
        tl.store(out_ptr + places, filled, mask=places < last)


@triton.jit
def policy_gradient_rows(
    logp_ptr, bounds_ptr, behaviour_ptr, advantages_ptr, kl_ptr, reference_ptr,
    losses_ptr, grad_ptr, kept_ptr,
    CAP: tl.constexpr, BELOW: tl.constexpr, ABOVE: tl.constexpr, LOW: tl.constexpr,
    HIGH: tl.constexpr, MOVED: tl.constexpr, NEGATIVE: tl.constexpr, KL: tl.constexpr,
    FILTER: tl.constexpr, BOUND: tl.constexpr, NEGATIVES_ONLY: tl.constexpr,
    SEQUENCE: tl.constexpr, REFERENCE: tl.constexpr, DRIFT: tl.constexpr, LIMIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Policy gradient of one episode a program."""
    segment = tl.program_id(0)
    first, last = tl.load(bounds_ptr + segment), tl.load(bounds_ptr + segment + 1)
    dtype = logp_ptr.dtype.element_ty
    keep = first <= last
    whole = tl.load(bounds_ptr).to(dtype) * 0.0
    if (FILTER > 0) or SEQUENCE:
        held = tl.zeros((BLOCK,), dtype)
        total = tl.zeros((BLOCK,), dtype)
        for start in range(first, last, BLOCK):
            places = start + tl.arange(0, BLOCK)
            inside = places < last
            logp = tl.load(logp_ptr + places, mask=inside, other=0.0)
            d = log_ratio(logp, tl.load(behaviour_ptr + places, mask=inside, other=0.0), LIMIT)
            total += d
            if FILTER == K3:
                held += tl.exp(d) - 1.0 - d
        length = tl.maximum(last - first, 1).to(dtype)
        whole = tl.sum(total, 0) / length
        if FILTER == K3:
            keep = tl.sum(held, 0) / length <= BOUND
        elif FILTER == GEOMETRIC:
            keep = tl.abs(tl.exp(whole) - 1.0) <= BOUND
        elif FILTER == STALE:
            keep = -whole <= BOUND
        elif FILTER > 0:
            keep = tl.abs(whole) <= BOUND
    loss = tl.zeros((BLOCK,), dtype)
    for start in range(first, last, BLOCK):
        places = start + tl.arange(0, BLOCK)
        inside = places < last
        logp = tl.load(logp_ptr + places, mask=inside, other=0.0)
        behaviour = tl.load(behaviour_ptr + places, mask=inside, other=0.0)
        advantage = tl.load(advantages_ptr + places, mask=inside, other=0.0)
        d = log_ratio(logp, behaviour, LIMIT)
        if SEQUENCE:
            d = d * 0.0 + whole
        weight = token_pull(
            tl.exp(d), logp, behaviour, advantage, CAP, BELOW, ABOVE, LOW, HIGH, MOVED, NEGATIVE
        )
        if FILTER > 0:
            if NEGATIVES_ONLY:
                weight = tl.where(keep, weight, tl.where(advantage >= 0, weight, 0.0))
            else:
                weight = tl.where(keep, weight, 0.0)
        loss -= weight * logp
        grad = -weight
        if KL > 0:
            loss += KL * tl.load(kl_ptr + places, mask=inside, other=0.0)
        if DRIFT > 0:
            away = logp - behaviour
            loss += DRIFT * away * away
            grad += 2.0 * DRIFT * away
        if REFERENCE > 0:
            away = log_ratio(tl.load(reference_ptr + places, mask=inside, other=0.0), logp, LIMIT)
            slope = tl.exp(away) - 1.0
            loss += REFERENCE * (slope - away)
            grad -= REFERENCE * slope
        tl.store(grad_ptr + places, grad, mask=inside)
    tl.store(losses_ptr + segment, tl.sum(loss, 0))
    tl.store(kept_ptr + segment, keep.to(tl.int8))


@triton.jit
def kto_rows(
    logp_ptr, bounds_ptr, reference_ptr, desirable_ptr, baseline_ptr, losses_ptr, grad_ptr,
    BETA: tl.constexpr, DESIRABLE: tl.constexpr, UNDESIRABLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """KTO of one episode a program."""
    segment = tl.program_id(0)
    first, last = tl.load(bounds_ptr + segment), tl.load(bounds_ptr + segment + 1)
    apart = _apart(logp_ptr, reference_ptr, first, last, BLOCK) - tl.load(baseline_ptr)
    liked = tl.load(desirable_ptr + segment) != 0
    # apart * 0: literals take its dtype.
    sign = tl.where(liked, apart * 0.0 + 1.0, apart * 0.0 - 1.0)
    worth = tl.where(liked, apart * 0.0 + DESIRABLE, apart * 0.0 + UNDESIRABLE)
    value = 1.0 / (1.0 + tl.exp(-sign * BETA * apart))
    tl.store(losses_ptr + segment, worth * (1.0 - value))
    _fill(grad_ptr, -worth * sign * BETA * value * (1.0 - value), first, last, BLOCK)


@triton.jit
def dpo_rows(
    logp_ptr, bounds_ptr, reference_ptr, losses_ptr, grad_ptr,
    BETA: tl.constexpr, BY_LENGTH: tl.constexpr, LIKELY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """DPO of one pair a program."""
    pair = tl.program_id(0)
    first, middle = tl.load(bounds_ptr + 2 * pair), tl.load(bounds_ptr + 2 * pair + 1)
    last = tl.load(bounds_ptr + 2 * pair + 2)
    dtype = logp_ptr.dtype.element_ty
    chosen_length = tl.maximum(middle - first, 1).to(dtype)
    per_chosen = chosen_length * 0.0 + 1.0
    per_rejected = per_chosen
    if BY_LENGTH:
        per_chosen = 1.0 / chosen_length
        per_rejected = 1.0 / tl.maximum(last - middle, 1).to(dtype)
    margin = _apart(logp_ptr, reference_ptr, first, middle, BLOCK) * per_chosen
    margin -= _apart(logp_ptr, reference_ptr, middle, last, BLOCK) * per_rejected
    margin *= BETA
    loss = tl.log(1.0 + tl.exp(-tl.abs(margin))) - tl.minimum(margin, 0.0)
    slope = -BETA / (1.0 + tl.exp(margin))
    pull = slope * per_chosen
    if LIKELY > 0:
        loss -= LIKELY * _total(logp_ptr, first, middle, BLOCK) / chosen_length
        pull -= LIKELY / chosen_length
    tl.store(losses_ptr + pair, loss)
    _fill(grad_ptr, pull, first, middle, BLOCK)
    _fill(grad_ptr, -slope * per_rejected, middle, last, BLOCK)


def segment_loss(packed: Packed, objective: Objective) -> SegmentLoss:
    """As `segment.segment_loss`."""
    check(packed, objective)
    logp_M, bounds = packed.logp.contiguous(), packed.bounds.contiguous()
    units = (len(bounds) - 1) // (2 if isinstance(objective, Dpo) else 1)
    losses, grad_M = logp_M.new_zeros(units), torch.zeros_like(logp_M)
    kept = torch.ones(units, dtype=torch.int8, device=logp_M.device)
    if units == 0:
        return SegmentLoss(losses, grad_M, kept.bool())
    match objective:
        case PolicyGradient():
            _launch_policy_gradient(packed, objective, losses, grad_M, kept)
        case Kto():
            kto_rows[(units,)](
                logp_M, bounds, _as(packed.reference, logp_M), packed.desirable,
                _as(packed.baseline, logp_M), losses, grad_M,
                BETA=objective.beta, DESIRABLE=objective.desirable,
                UNDESIRABLE=objective.undesirable, BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
        case Dpo():
            dpo_rows[(units,)](
                logp_M, bounds, _as(packed.reference, logp_M), losses, grad_M,
                BETA=objective.beta, BY_LENGTH=objective.by_length,
                LIKELY=objective.likelihood_weight, BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
    return SegmentLoss(losses, grad_M, kept.bool())


def _launch_policy_gradient(
    packed: Packed, objective: PolicyGradient, losses: Tensor, grad_M: Tensor, kept: Tensor
) -> None:
    logp_M, token = packed.logp.contiguous(), objective.token
    policy_gradient_rows[(len(losses),)](
        logp_M, packed.bounds.contiguous(), _as(packed.behaviour, logp_M),
        _as(packed.advantages, logp_M), _as(packed.kl, logp_M), _as(packed.reference, logp_M),
        losses, grad_M, kept,
        **token.constants(), KL=token.kl_weight if packed.kl is not None else 0.0,
        FILTER=FILTERS.index(objective.filter), BOUND=objective.limit,
        NEGATIVES_ONLY=objective.negatives_only, SEQUENCE=objective.sequence_ratio,
        REFERENCE=objective.reference_weight if packed.reference is not None else 0.0,
        DRIFT=objective.drift_weight, LIMIT=LOG_RATIO_LIMIT, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip


def _as(values_M: Tensor | None, logp_M: Tensor) -> Tensor:
    """Return the values as the kernel reads them; what is None is not read."""
    return logp_M if values_M is None else values_M.detach().to(logp_M.dtype).contiguous()
