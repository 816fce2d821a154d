"""Loss: policy gradient over tokens, inside a trust region and with an anchor.

    L = (1/N) sum_t e_t (-w_t log pi_t + kl_weight KL_t)

e is the weight of the token's episode: one of 2 pulls, and is held to the anchor, as the episode twice.
w is the advantage times a ratio, without gradient, and nothing outside the trust region
(`learner/trust_region.py`): `kernels.objective.pulls` has it for a token by itself, which the head's
sweep works out; what depends on a whole answer takes `logp_head` and `segment_losses`. KL is of the
policy against the anchor over the whole vocabulary. A step sums the losses of parts, each by its own N.
Legend: M tokens, S episodes of the pack, D hidden width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.dispatch import (
    HeadOutputs,
    Packed,
    log_ratios,
    logp_head,
    segment_losses,
    token_loss,
)
from ..pulls import answer_objective, cut, effective_share, first_pulls, objective, pull_sums
from ..settings import LearnerSettings
from .packing import Pack

__all__ = [
    "REPORTED",
    "Loss",
    "effective_share",
    "first_pulls",
    "means",
    "objective",
    "pull_sums",
    "ratio_sums",
    "swept_loss",
]

REPORTED = ("tokens", "ratio/k3", "ratio/mean", "ratio/squares", "entropy", "kl/anchor")
"""What `ratio_sums` tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one minibatch says."""

    total: Tensor
    """Scalar to differentiate."""
    sums: dict[str, float]
    """Sums over tokens of what is reported, to be divided by their count."""
    logp_M: Tensor
    """The tokens' log-probabilities, without gradient."""


def swept_loss(
    hidden_MD: Tensor,
    anchor_MD: Tensor | None,
    head_VD: Tensor,
    packed: Pack,
    advantages_M: Tensor,
    *,
    normaliser: float,
    settings: LearnerSettings,
    weights_M: Tensor | None = None,
    proximal_M: Tensor | None = None,
    anchor_head_VD: Tensor | None = None,
) -> Loss:
    """Loss of a pack's tokens, N being `normaliser`: the weight of the whole step's tokens.

    `weights_M` are their episodes' weights; None is 1 each. `proximal_M` are their log-probabilities
    before the batch, for a region that is held against these; None takes those when served. A head that
    asks for a gradient gets one; `anchor_head_VD` is the anchor's, where it is another.
    """
    region, behaviour_M = settings.region, packed.behaviour_M
    pulled_M = advantages_M
    if region.proximal and proximal_M is not None:
        pulled_M = advantages_M * cut(log_ratios(proximal_M, behaviour_M).exp(), region)
        behaviour_M = proximal_M
    inputs = (hidden_MD, anchor_MD, head_VD, packed.targets_M, packed.temperature_M)
    learns = head_VD.requires_grad
    if region.by_answer:
        made = logp_head(*inputs, train_head=learns, anchor_weight_VD=anchor_head_VD)
        anchored = anchor_MD is not None
        total, head, weight_M = _by_answer(
            made, anchored, packed, advantages_M, weights_M, settings
        )
        total = total / normaliser
    else:
        total, head, weight_M = token_loss(
            *inputs,
            behaviour_M,
            pulled_M,
            objective(settings),
            normaliser=normaliser,
            row_weights_M=weights_M,
            train_head=learns,
            anchor_weight_VD=anchor_head_VD,
        )
    pulls_M = weight_M if weights_M is None else weight_M * weights_M
    sums = _sums(head, pulls_M, packed.behaviour_M, advantages_M, settings, proximal_M)
    sums |= pull_sums(weight_M, advantages_M, settings)
    return Loss(total=total, sums=sums, logp_M=head.logp.detach())


def _by_answer(
    head: HeadOutputs,
    anchored: bool,
    packed: Pack,
    advantages_M: Tensor,
    weights_M: Tensor | None,
    settings: LearnerSettings,
) -> tuple[Tensor, HeadOutputs, Tensor]:
    """As `token_loss`, undivided, of a region that whole answers decide."""
    counts_S = torch.bincount(packed.segments_M)
    bounds = torch.nn.functional.pad(counts_S.cumsum(0), (1, 0))
    out = segment_losses(
        Packed(
            logp=head.logp,
            bounds=bounds,
            behaviour=packed.behaviour_M,
            advantages=advantages_M,
            kl=head.kl if anchored else None,
        ),
        answer_objective(settings, objective(settings)),
    )
    losses_S = out.losses if weights_M is None else out.losses * weights_M[bounds[:-1]]
    return losses_S.sum(), head, -out.grad_M


def _sums(
    head: HeadOutputs,
    weight_M: Tensor,
    behaviour_M: Tensor,
    advantages_M: Tensor,
    settings: LearnerSettings,
    proximal_M: Tensor | None,
) -> dict[str, float]:
    log_ratio_M = log_ratios(head.logp, behaviour_M)
    cap, proximal = settings.region.ratio_cap, settings.region.proximal
    cut_M = head.logp if proximal_M is None or not proximal else proximal_M
    judged_M = advantages_M != 0 if settings.negative_weight else advantages_M > 0
    return {
        **ratio_sums(head, log_ratio_M),
        "loss/policy": -float((weight_M * head.logp.detach()).sum()),
        "ratio/capped": float((log_ratios(cut_M, behaviour_M).exp() > cap).sum()) if cap else 0.0,
        "ratio/masked": float((judged_M & (weight_M == 0)).sum()),
        "advantage/negative_share": float((weight_M * (advantages_M < 0)).abs().sum()),
        "advantage/weight": float(weight_M.abs().sum()),
    }


def ratio_sums(head: HeadOutputs, log_ratio_M: Tensor) -> dict[str, float]:
    """Sums over tokens that say how far policy and behaviour lie apart.

    `ratio/k3` is rho - log rho - 1, an estimate of KL(mu || pi) that is never negative
    (Schulman 2020); ESS is worked out from the two sums of weights.
    """
    ratio_M = log_ratio_M.exp()
    return {
        "tokens": float(len(log_ratio_M)),
        "ratio/k3": float((log_ratio_M.expm1() - log_ratio_M).sum()),
        "ratio/mean": float(ratio_M.sum()),
        "ratio/squares": float(ratio_M.square().sum()),
        "entropy": float(head.entropy.detach().sum()),
        "kl/anchor": float(head.kl.detach().sum()),
    }


def means(sums: dict[str, float]) -> dict[str, float]:
    """Turn sums over tokens into what is reported: means, shares and the effective sample size."""
    tokens, weight = sums["tokens"], sums.get("advantage/weight", 0.0)
    hidden = ("tokens", "ratio/squares", "advantage/weight", "advantage/negative_share")
    shown = {
        name: value / tokens
        for name, value in sums.items()
        if name not in hidden and not name.startswith(("pull/", "tokens/"))
    }
    shown["ratio/ess"] = sums["ratio/mean"] ** 2 / (tokens * sums["ratio/squares"])
    if weight > 0.0:
        shown["advantage/negative_share"] = sums["advantage/negative_share"] / weight
    return shown
