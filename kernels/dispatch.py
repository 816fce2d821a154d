"""Dispatch: all that the learner calls; it chooses the implementation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import segment
from .choice import chosen_kernels
from .gradient import PackedLoss, RowSums, Summed
from .objective import (
    LOG_RATIO_LIMIT,
    Dpo,
    Kto,
    Objective,
    PolicyGradient,
    TokenObjective,
    log_ratios,
    pulls,
    token_weights,
)
from .reference import HeadOutputs, Reference
from .segment import Packed, SegmentLoss
from .sweep import Coefficients, Head, HeadKernel, SeparateForm, WeightedForm

__all__ = [
    "LOG_RATIO_LIMIT",
    "Coefficients",
    "Dpo",
    "HeadOutputs",
    "Kto",
    "Packed",
    "PolicyGradient",
    "SegmentLoss",
    "SeparateForm",
    "TokenObjective",
    "WeightedForm",
    "chosen_kernels",
    "log_ratios",
    "logp_head",
    "pulls",
    "segment_losses",
    "token_loss",
    "token_weights",
]


def logp_head(
    hidden_MD: Tensor,
    anchor_MD: Tensor | None,
    weight_VD: Tensor,
    targets_M: Tensor,
    temperature_M: Tensor,
    *,
    train_head: bool = False,
    chunk_tokens: int | None = None,
    anchor_weight_VD: Tensor | None = None,
) -> HeadOutputs:
    """Log-probability, normaliser, entropy and KL to the anchor of each target token.

    `hidden_MD` [M, D] are the final hidden states that predict `targets_M` [M]; `anchor_MD` are the
    anchor's, or None; `weight_VD` [V, D] is the head; `temperature_M` [M] is above 0. Equal to
    `log_softmax(hidden @ weight.T / temperature)` gathered at the targets, and sums over it, from
    logits in float32 whatever the inputs. Outputs are [M]; gradients flow from the first four to
    `hidden_MD` and, with `train_head`, to `weight_VD`; the anchor is a constant. A row whose target
    is negative is ignored: zeros, and no gradient. M may be 0. `anchor_weight_VD` is the anchor's head
    where it is another one than the policy's.
    ValueError where `RLWD_KERNELS` names nothing that runs here.
    """
    rows_M, (hidden, anchor, targets, temperature) = _compacted(
        hidden_MD, anchor_MD, targets_M, temperature_M
    )
    kernel = head_kernel(hidden_MD)
    heads = (weight_VD, anchor_weight_VD)
    head = _head(kernel, hidden, anchor, heads, targets, temperature, chunk_tokens)
    learns = torch.is_grad_enabled() and (hidden.requires_grad or train_head)
    # Under a frozen head autograd must not see the weight, which may still ask for a gradient.
    weight = weight_VD if train_head else weight_VD.detach()
    outputs = RowSums.apply(hidden, weight, head, learns, train_head)  # type: ignore[no-untyped-call]
    if rows_M is None:
        return HeadOutputs(*outputs)
    scattered = (out.new_zeros(len(targets_M)).index_put((rows_M,), out) for out in outputs)
    return HeadOutputs(*scattered)


def token_loss(
    hidden_MD: Tensor,
    anchor_MD: Tensor | None,
    weight_VD: Tensor,
    targets_M: Tensor,
    temperature_M: Tensor,
    behaviour_M: Tensor,
    advantages_M: Tensor,
    objective: TokenObjective,
    *,
    normaliser: float,
    row_weights_M: Tensor | None = None,
    train_head: bool = False,
    chunk_tokens: int | None = None,
    anchor_weight_VD: Tensor | None = None,
) -> tuple[Tensor, HeadOutputs, Tensor]:
    """Return a token-level loss, what it was made of, and its weights w [M]: see `objective`.

    `row_weights_M` multiply both terms of a row.

    As `logp_head` and a loss on its outputs, at less: each row's coefficient is worked out in the
    sweep, so one gradient matrix serves both terms. `normaliser` is N, known beforehand. Gradients
    flow from the loss alone. Ignored rows, empty packs and errors are as in `logp_head`.
    """
    rows_M, kept_rows = _compacted(
        hidden_MD, anchor_MD, targets_M, temperature_M, behaviour_M, advantages_M, row_weights_M
    )
    hidden, anchor, targets, temperature, behaviour, advantages, by = kept_rows
    kernel = head_kernel(hidden_MD)
    heads = (weight_VD, anchor_weight_VD)
    head = _head(kernel, hidden, anchor, heads, targets, temperature, chunk_tokens)
    learns = torch.is_grad_enabled() and (hidden.requires_grad or train_head)
    weight = weight_VD if train_head else weight_VD.detach()
    form = WeightedForm(objective, behaviour.detach(), advantages.detach())
    total, made = Summed.apply(  # type: ignore[no-untyped-call]
        hidden, weight, head, form, learns, train_head, by
    )
    if rows_M is not None:
        made = made.new_zeros(len(made), len(targets_M)).index_copy_(1, rows_M, made)
    return total / normaliser, HeadOutputs(*made[:5].unbind()), made[5]


def segment_losses(packed: Packed, objective: Objective) -> SegmentLoss:
    """Losses of packed episodes, as `segment` defines them; `losses` can be differentiated.

    Gradients flow to `packed.logp` and `packed.kl`; everything else is a constant. The derivative is
    formed with the loss, so backward is a multiplication. ValueError as `segment.check` raises.
    """
    losses, grad_M, kept_units = PackedLoss.apply(  # type: ignore[no-untyped-call]
        packed.logp, packed.kl, packed, objective, _segment_loss(packed.logp)
    )
    return SegmentLoss(losses, grad_M, kept_units)


def _segment_loss(logp_M: Tensor) -> Callable[[Packed, Objective], SegmentLoss]:
    if chosen_kernels(logp_M.device, logp_M.dtype) == "reference":
        return segment.segment_loss
    from .segment_loss import segment_loss

    return segment_loss


def head_kernel(hidden_MD: Tensor) -> HeadKernel:
    """Return the implementation of the head's chunk for these states."""
    if chosen_kernels(hidden_MD.device, hidden_MD.dtype) == "reference":
        return Reference()
    from .logp_head import TritonHead  # a CPU learner never pays for importing triton

    return TritonHead()


def _head(
    kernel: HeadKernel,
    hidden_MD: Tensor,
    anchor_MD: Tensor | None,
    heads: tuple[Tensor, Tensor | None],
    targets_M: Tensor,
    temperature_M: Tensor,
    chunk_tokens: int | None,
) -> Head:
    compute = torch.promote_types(hidden_MD.dtype, torch.float32)
    weight_VD, anchor_weight_VD = heads
    return Head(
        kernel=kernel,
        hidden_MD=hidden_MD.detach(),
        anchor_MD=None if anchor_MD is None else anchor_MD.detach(),
        weight_VD=weight_VD.detach(),
        targets_M=targets_M,
        temperature_M=temperature_M.detach().to(compute),
        chunk_tokens=chunk_tokens,
        anchor_weight_VD=None if anchor_weight_VD is None else anchor_weight_VD.detach(),
    )


def _compacted(
    hidden_MD: Tensor, anchor_MD: Tensor | None, targets_M: Tensor, *rest: Tensor | None
) -> tuple[Tensor | None, tuple[Any, ...]]:
    """Drop ignored rows before any GEMM; returns the kept ones' places, None where all are."""
    given = (hidden_MD, anchor_MD, targets_M, *rest)
    if not bool((targets_M < 0).any()):
        return None, given
    rows_M = (targets_M >= 0).nonzero()[:, 0]
    return rows_M, tuple(None if each is None else each[rows_M] for each in given)
