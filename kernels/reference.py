"""Reference: the LM head's sums in plain PyTorch, chunk by chunk; what every faster kernel must equal.

Legend: M completion tokens, D hidden width, V vocabulary, C rows of a chunk.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_TOKENS = 1024


class HeadOutputs(NamedTuple):
    """What the head says of each chosen token, in float32 (float64 for float64 inputs).

    With z = hidden @ weight.T / temperature and p = softmax(z), over one row:
    vocabulary (a, b), z = (ln 3, 0), target a: p = (0.75, 0.25), logp = ln 0.75 = -0.2877,
    lse = ln 4 = 1.3863, entropy = 0.5623; against an anchor of z = (0, 0): kl = 0.1308.
    """

    logp: Tensor
    """[M] log-probability of the target."""
    lse: Tensor
    """[M] log of the sum of exp(z): the normaliser."""
    entropy: Tensor
    """[M] entropy of p, nats."""
    kl: Tensor
    """[M] KL(p || anchor's p) over the whole vocabulary, nats; zeros without an anchor."""


def logp_head(
    hidden_MD: Tensor,
    anchor_MD: Tensor | None,
    weight_VD: Tensor,
    targets_M: Tensor,
    temperature_M: Tensor,
    chunk_tokens: int = CHUNK_TOKENS,
) -> HeadOutputs:
    """Head in chunks; never more than a few [C, V] matrices exist, forward or backward.

    Equal to `log_softmax(hidden @ weight.T / temperature)` gathered at the targets, and sums over
    it. Gradients flow to `hidden_MD` alone, from all four outputs: the head is frozen under LoRA.
    Logits are formed in float32 whatever the inputs. M may be 0.
    """
    compute = torch.promote_types(hidden_MD.dtype, torch.float32)
    return HeadOutputs(
        *_Head.apply(  # type: ignore[no-untyped-call]
            hidden_MD,
            None if anchor_MD is None else anchor_MD.detach(),
            weight_VD.detach().to(compute),
            targets_M,
            temperature_M.detach().to(compute),
            chunk_tokens,
        )
    )


def _logits(hidden_CD: Tensor, weight_VD: Tensor, temperature_C: Tensor) -> Tensor:
    """Logits [C, V] after the temperature."""
    z_CV = hidden_CD.to(weight_VD.dtype) @ weight_VD.T
    return z_CV.div_(temperature_C[:, None])


class _Head(torch.autograd.Function):
    """Recomputes a chunk's logits in backward instead of keeping them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: Tensor,
        anchor_MD: Tensor | None,
        weight_VD: Tensor,
        targets_M: Tensor,
        temperature_M: Tensor,
        chunk_tokens: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        ctx.save_for_backward(hidden_MD, anchor_MD, weight_VD, targets_M, temperature_M)
        ctx.chunk_tokens = chunk_tokens
        logp_M, lse_M, entropy_M, kl_M = weight_VD.new_zeros(4, len(hidden_MD)).unbind()
        for start in range(0, len(hidden_MD), chunk_tokens):
            rows = slice(start, start + chunk_tokens)
            z_CV = _logits(hidden_MD[rows], weight_VD, temperature_M[rows])
            # torch's own log_softmax: subtracting a rounded lse would shift a whole row.
            logp_CV = z_CV.log_softmax(-1)
            p_CV = logp_CV.exp()
            logp_M[rows] = logp_CV.gather(1, targets_M[rows, None])[:, 0]
            lse_M[rows] = z_CV.gather(1, targets_M[rows, None])[:, 0] - logp_M[rows]
            entropy_M[rows] = -(p_CV * logp_CV).sum(-1)
            if anchor_MD is not None:
                logq_CV = _logits(anchor_MD[rows], weight_VD, temperature_M[rows]).log_softmax(-1)
                kl_M[rows] = (p_CV * (logp_CV - logq_CV)).sum(-1)
        return logp_M, lse_M, entropy_M, kl_M

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_MD, anchor_MD, weight_VD, targets_M, temperature_M = ctx.saved_tensors
        grad_logp_M, grad_lse_M, grad_entropy_M, grad_kl_M = grads
        grad_MD = torch.empty_like(hidden_MD)
        for start in range(0, len(hidden_MD), ctx.chunk_tokens):
            rows = slice(start, start + ctx.chunk_tokens)
            logp_CV = _logits(hidden_MD[rows], weight_VD, temperature_M[rows]).log_softmax(-1)
            p_CV = logp_CV.exp()
            # With z as the variable: d logp = onehot - p, d lse = p, d H = -p (logp + H),
            # d KL = p (logp - logq - KL).
            per_p_CV = (grad_lse_M - grad_logp_M)[rows, None].expand_as(p_CV)
            entropy_C1 = -(p_CV * logp_CV).sum(-1, keepdim=True)
            per_p_CV = per_p_CV - grad_entropy_M[rows, None] * (logp_CV + entropy_C1)
            if anchor_MD is not None:
                logq_CV = _logits(anchor_MD[rows], weight_VD, temperature_M[rows]).log_softmax(-1)
                apart_CV = logp_CV - logq_CV
                kl_C1 = (p_CV * apart_CV).sum(-1, keepdim=True)
                per_p_CV = per_p_CV + grad_kl_M[rows, None] * (apart_CV - kl_C1)
            grad_z_CV = p_CV * per_p_CV
            grad_z_CV.scatter_add_(1, targets_M[rows, None], grad_logp_M[rows, None])
            grad_z_CV /= temperature_M[rows, None]
            grad_MD[rows] = (grad_z_CV @ weight_VD).to(grad_MD.dtype)
        return grad_MD, None, None, None, None, None
