"""Gradient: the kernels as functions that autograd differentiates.

Legend: M tokens, D hidden width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from .objective import Dpo, Objective, PolicyGradient, token_weights
from .segment import Packed, SegmentLoss, segments
from .sweep import Coefficients, Head, SeparateForm, WeightedForm


class RowSums(torch.autograd.Function):
    """logp, lse, entropy, KL and the anchor's lse [M] of each row, for any loss on them.

    A loss on logp and KL alone is a row scaling in backward. One that also pulls on the entropy or
    the normaliser, or that trains the head, recomputes the logits: these have no such form.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_MD: Tensor, weight_VD: Tensor, head: Head, learns: bool, train_head: bool
    ) -> tuple[Tensor, ...]:
        """Sweep once, leaving the gradients of logp and KL."""
        ctx.set_materialize_grads(False)
        out = head.swept(SeparateForm() if learns and not train_head else None)
        ctx.head, ctx.train_head = head, train_head
        ctx.save_for_backward(out.first_MD, out.second_MD)
        outputs = out.statistics[:5].unbind()
        ctx.mark_non_differentiable(outputs[4])
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Scale rows, or sweep again."""
        head, (first_MD, second_MD) = ctx.head, ctx.saved_tensors
        logp_M, lse_M, entropy_M, kl_M, _ = grads
        if first_MD is not None and lse_M is None and entropy_M is None:
            pairs = ((first_MD, logp_M), (second_MD, kl_M))
            parts = [_scaled(rows, by) for rows, by in pairs if rows is not None and by is not None]
            grad_MD = sum(parts[1:], parts[0]) if parts else torch.zeros_like(first_MD)
            return grad_MD, None, None, None, None
        zeros_M = torch.zeros_like(head.temperature_M)
        given = (zeros_M if grad is None else grad.contiguous() for grad in grads[:4])
        out = head.swept(Coefficients(*given), train_head=ctx.train_head)
        grad_VD = None if out.weight_VD is None else out.weight_VD.to(head.weight_VD.dtype)
        return out.first_MD, grad_VD, None, None, None


class Summed(torch.autograd.Function):
    """A token-level loss, undivided, and its rows' statistics [6, M], from one gradient matrix."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: Tensor,
        weight_VD: Tensor,
        head: Head,
        form: WeightedForm,
        learns: bool,
        train_head: bool,
        by_M: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Sweep once, leaving the gradient of the loss."""
        # Without the head's gradient a row is scaled once, after its one product.
        early_M = by_M if train_head else None
        out = head.swept(form if learns else None, train_head=train_head, row_weights_M=early_M)
        if by_M is not None and early_M is None and out.first_MD is not None:
            out.first_MD.mul_(by_M[:, None].to(out.first_MD.dtype))
        ctx.save_for_backward(out.first_MD, out.weight_VD)
        ctx.weight_dtype = weight_VD.dtype
        weight_M, logp_M, kl_M = out.statistics[5], out.statistics[0], out.statistics[3]
        if not learns:
            weight_M.copy_(token_weights(logp_M, form.behaviour, form.advantages, form.objective))
        ctx.mark_non_differentiable(out.statistics)
        loss_M = form.objective.kl_weight * kl_M - weight_M * logp_M
        total = loss_M.sum() if by_M is None else (loss_M * by_M).sum()
        return total, out.statistics

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Scale by a number."""
        grad_MD, grad_VD = ctx.saved_tensors
        if grad_VD is not None:
            grad_VD = (grad_VD * grad).to(ctx.weight_dtype)
        return grad_MD * grad.to(grad_MD.dtype), grad_VD, *([None] * 5)


def _scaled(rows_MD: Tensor, by_M: Tensor) -> Tensor:
    return (rows_MD * by_M[:, None]).to(rows_MD.dtype)


class PackedLoss(torch.autograd.Function):
    """`segment_losses` to autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        logp_M: Tensor,
        kl_M: Tensor | None,
        packed: Packed,
        objective: Objective,
        loss: Any,
    ) -> SegmentLoss:
        """Form losses and derivative at once, by `loss(packed, objective)`."""
        out: SegmentLoss = loss(packed._replace(logp=logp_M.detach()), objective)
        each = 2 if isinstance(objective, Dpo) else 1
        ctx.bounds, ctx.objective, ctx.has_kl = packed.bounds[::each], objective, kl_M is not None
        ctx.save_for_backward(out.grad_M)
        ctx.mark_non_differentiable(out.grad_M, out.kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Scale each unit's tokens."""
        (grad_M,) = ctx.saved_tensors
        by_M = grad[segments(ctx.bounds, len(grad_M))]
        has_kl = ctx.has_kl and isinstance(ctx.objective, PolicyGradient)
        kl_M = ctx.objective.token.kl_weight * by_M if has_kl else None
        return grad_M * by_M, kl_M, None, None, None
