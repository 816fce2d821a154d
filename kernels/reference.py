"""Reference: the head's chunk in plain PyTorch; what every faster kernel must equal.

Legend: M tokens, D hidden width, V vocabulary, C rows of a chunk.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .objective import token_weights
from .sweep import STATISTICS, ChunkRows, Coefficients, Form, Scratch, SeparateForm, WeightedForm

# A chunk's matrix of float32 logits is held to about 64 MiB, and there are four. With fewer rows the
# GEMMs are slow: 512 tokens of D 512, V 32,768 took 1.0 s of processor time in chunks of 512, 1.3 in
# chunks of 128, 1.8 in chunks of 32.
CHUNK_NUMBERS = 2**24
CHUNK_TOKENS = (128, 1024)


class HeadOutputs(NamedTuple):
    """What the head says of each chosen token, in float32 (float64 for float64 inputs).

    With z = hidden @ weight.T / temperature and p = softmax(z), over one row:
    vocabulary (a, b), z = (ln 3, 0), target a: p = (0.75, 0.25), logp = ln 0.75 = -0.2877,
    lse = ln 4 = 1.3863, entropy = 0.5623; against an anchor of z = (0, 0): kl = 0.1308 and
    anchor_lse = ln 2 = 0.6931.
    """

    logp: Tensor
    """[M] log-probability of the target."""
    lse: Tensor
    """[M] log of the sum of exp(z): the normaliser."""
    entropy: Tensor
    """[M] entropy of p, nats."""
    kl: Tensor
    """[M] KL(p || anchor's p) over the whole vocabulary, nats; zeros without an anchor."""
    anchor_lse: Tensor
    """[M] the anchor's normaliser, without gradient; zeros without an anchor."""


class Reference:
    """`HeadKernel` on any device and dtype; its sums are those of float32, or of float64."""

    def weight(self, weight_VD: Tensor) -> Tensor:
        """Return the head in the dtype that its GEMMs take."""
        return weight_VD.to(torch.promote_types(weight_VD.dtype, torch.float32))

    def chunk_tokens(self, vocabulary: int, *, anchored: bool) -> int:
        """Return the rows to a chunk, for bounded memory."""
        fewest, most = CHUNK_TOKENS
        return min(most, max(fewest, CHUNK_NUMBERS // vocabulary))

    def product(
        self, left: Tensor, right: Tensor, scratch: Scratch | None = None, name: str = ""
    ) -> Tensor:
        """Return left @ right.T in float32, or float64 for float64; in the scratch where there is one."""
        compute = torch.promote_types(left.dtype, torch.float32)
        left, right = left.to(compute), right.to(compute)
        if scratch is None:
            return left @ right.T
        return torch.mm(left, right.T, out=scratch.matrix(name, len(left), len(right), left))

    def rows(
        self,
        z_CV: Tensor,
        anchor_z_CV: Tensor | None,
        targets_C: Tensor,
        temperature_C: Tensor,
        form: Form,
        dtype: torch.dtype,
        scratch: Scratch | None = None,
    ) -> ChunkRows:
        """Statistics and gradients (in `dtype`) of a chunk; overwrites the logits.

        A token whose logit is -inf has probability 0 and adds nothing. With z as the variable:
        d logp = onehot - p, d lse = p, d H = -p (logp + H), d KL = p (logp - logq - KL).
        """
        heat_C1, at_C1 = temperature_C[:, None], targets_C[:, None]
        made = z_CV.new_zeros(len(STATISTICS), len(z_CV))
        logp_C, lse_C, entropy_C, kl_C, anchor_lse_C, weight_C = made.unbind()
        scratch = scratch or Scratch()
        rows, vocabulary = z_CV.shape
        p_CV, q_CV = (scratch.matrix(name, rows, vocabulary, z_CV) for name in ("p", "q"))
        logp_CV = _log_softmax(z_CV.div_(heat_C1), p_CV, lse_C)
        logp_C.copy_(logp_CV.gather(1, at_C1)[:, 0])
        apart_CV = None
        if anchor_z_CV is not None:
            logq_CV = _log_softmax(anchor_z_CV.div_(heat_C1), q_CV, anchor_lse_C)
            apart_CV = torch.sub(logp_CV, logq_CV, out=logq_CV)
            kl_C.copy_(_row_sums(p_CV, apart_CV, q_CV))
        entropy_C.copy_(-_row_sums(p_CV, logp_CV, q_CV))
        if bool((entropy_C.isnan() | kl_C.isnan()).any()):  # 0 times -inf, or nothing to save
            gone_CV = p_CV == 0.0
            entropy_C.copy_(-_row_sums(p_CV, logp_CV.masked_fill_(gone_CV, 0.0), q_CV))
            if apart_CV is not None:
                kl_C.copy_(_row_sums(p_CV, apart_CV.masked_fill_(gone_CV, 0.0), q_CV))
        if isinstance(form, WeightedForm):
            weight_C.copy_(token_weights(logp_C, form.behaviour, form.advantages, form.objective))
        first_CV, second_CV = _gradients(p_CV, logp_CV, apart_CV, made, at_C1, heat_C1, form)
        grads = (None if grad is None else grad.to(dtype) for grad in (first_CV, second_CV))
        return ChunkRows(made, *grads)


def _log_softmax(z_CV: Tensor, p_CV: Tensor, lse_C: Tensor) -> Tensor:
    """Turn logits into log-probabilities in place; writes p and the normaliser lse.

    The row's maximum is taken off first, as torch's log_softmax does: what a rounded lse would shift a
    whole row by stays below the rounding of a log-probability.
    """
    top_C1 = z_CV.amax(-1, keepdim=True)
    torch.exp(z_CV.sub_(top_C1), out=p_CV)
    sum_C1 = p_CV.sum(-1, keepdim=True)
    log_sum_C1 = sum_C1.log()
    lse_C.copy_((top_C1 + log_sum_C1)[:, 0])
    p_CV.div_(sum_C1)
    return z_CV.sub_(log_sum_C1)


def _row_sums(left_CV: Tensor, right_CV: Tensor, into_CV: Tensor) -> Tensor:
    """Return the sum over each row's products [C]; torch's own sum, which loses less than BLAS's dot."""
    return torch.mul(left_CV, right_CV, out=into_CV).sum(-1)


def _gradients(
    p_CV: Tensor,
    logp_CV: Tensor,
    apart_CV: Tensor | None,
    made: Tensor,
    at_C1: Tensor,
    heat_C1: Tensor,
    form: Form,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients to the logits before the temperature; `apart_CV` is logp - logq. Overwrites all.

    Every row of a gradient is p times (a + b logp + c apart), plus a pull at the target.
    """
    if form is None:
        return None, None
    _, _, entropy_C1, kl_C1, _, weight_C1 = made[:, :, None].unbind()
    if isinstance(form, SeparateForm):
        scaled_CV = p_CV.div_(heat_C1)
        second_CV = None if apart_CV is None else apart_CV.sub_(kl_C1).mul_(scaled_CV)
        first_CV = scaled_CV.neg_()
        return first_CV.scatter_add_(1, at_C1, 1.0 / heat_C1), second_CV
    if isinstance(form, WeightedForm):
        pull_C1, b_C1 = -weight_C1 / heat_C1, None
        a_C1, c_C1 = -pull_C1, form.objective.kl_weight / heat_C1
    else:
        assert isinstance(form, Coefficients)
        pull_C1, lse_C1, h_C1, c_C1 = (each[:, None] / heat_C1 for each in form)
        a_C1, b_C1 = lse_C1 - pull_C1 - h_C1 * entropy_C1, -h_C1
    if b_C1 is not None:
        slope_CV = torch.addcmul(a_C1, logp_CV, b_C1, out=logp_CV)
        if apart_CV is not None:
            slope_CV.addcmul_(apart_CV.sub_(kl_C1), c_C1)
    elif apart_CV is not None:
        slope_CV = torch.addcmul(a_C1 - c_C1 * kl_C1, apart_CV, c_C1, out=apart_CV)
    else:
        slope_CV = a_C1
    return p_CV.mul_(slope_CV).scatter_add_(1, at_C1, pull_C1), None
