"""Reference: the head's chunk in plain PyTorch; what every faster kernel must equal.

Legend: M tokens, D hidden width, V vocabulary, C rows of a chunk.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .objective import token_weights
from .sweep import STATISTICS, ChunkRows, Coefficients, Form, SeparateForm, WeightedForm

# A chunk's matrix of float32 logits is held to about 64 MiB, and there are six. With fewer rows the
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

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left @ right.T in float32, or float64 for float64."""
        compute = torch.promote_types(left.dtype, torch.float32)
        return left.to(compute) @ right.to(compute).T

    def rows(
        self,
        z_CV: Tensor,
        anchor_z_CV: Tensor | None,
        targets_C: Tensor,
        temperature_C: Tensor,
        form: Form,
        dtype: torch.dtype,
    ) -> ChunkRows:
        """Statistics and gradients (in `dtype`) of a chunk; overwrites the logits.

        A token whose logit is -inf has probability 0 and adds nothing. With z as the variable:
        d logp = onehot - p, d lse = p, d H = -p (logp + H), d KL = p (logp - logq - KL).
        """
        heat_C1, at_C1 = temperature_C[:, None], targets_C[:, None]
        made = z_CV.new_zeros(len(STATISTICS), len(z_CV))
        logp_C, lse_C, entropy_C, kl_C, anchor_lse_C, weight_C = made.unbind()
        # torch's own log_softmax: subtracting a rounded lse would shift a whole row.
        logp_CV = z_CV.div_(heat_C1).log_softmax(-1)
        p_CV = logp_CV.exp()
        logp_C.copy_(logp_CV.gather(1, at_C1)[:, 0])
        lse_C.copy_(_normaliser(z_CV, logp_CV, at_C1))
        apart_CV = None
        if anchor_z_CV is not None:
            logq_CV = anchor_z_CV.div_(heat_C1).log_softmax(-1)
            anchor_lse_C.copy_(_normaliser(anchor_z_CV, logq_CV, at_C1))
            apart_CV = torch.sub(logp_CV, logq_CV, out=logq_CV)
            kl_C.copy_(torch.linalg.vecdot(p_CV, apart_CV))
        entropy_C.copy_(-torch.linalg.vecdot(p_CV, logp_CV))
        if bool((entropy_C.isnan() | kl_C.isnan()).any()):  # 0 times -inf, or nothing to save
            gone_CV = p_CV == 0.0
            entropy_C.copy_(-torch.linalg.vecdot(p_CV, logp_CV.masked_fill_(gone_CV, 0.0)))
            if apart_CV is not None:
                kl_C.copy_(torch.linalg.vecdot(p_CV, apart_CV.masked_fill_(gone_CV, 0.0)))
        if isinstance(form, WeightedForm):
            weight_C.copy_(token_weights(logp_C, form.behaviour, form.advantages, form.objective))
        first_CV, second_CV = _gradients(p_CV, logp_CV, apart_CV, made, at_C1, heat_C1, form)
        grads = (None if grad is None else grad.to(dtype) for grad in (first_CV, second_CV))
        return ChunkRows(made, *grads)


def _normaliser(z_CV: Tensor, logp_CV: Tensor, at_C1: Tensor) -> Tensor:
    """Return lse [C] from what log_softmax took off, where the target is not -inf."""
    lse_C1 = z_CV.gather(1, at_C1) - logp_CV.gather(1, at_C1)
    return lse_C1[:, 0] if bool(lse_C1.isfinite().all()) else z_CV.logsumexp(-1)


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
