"""Loss: truncated-importance policy gradient over tokens, with a trust region and an anchor.

    L = -(1/N) sum_t keep_t sg[min(rho_t, C)] w_t A_t log pi_t + kl_weight (1/N) sum_t KL_t

rho = pi / mu against the log-probability logged while serving (truncated importance sampling, Yao
et al. 2025; C = 2), its logarithm held within 20 either way. keep leaves out a token whose ratio
already left [1 - eps, 1 + eps] on the side that the step pushes to, the clip of PPO (arXiv
1707.06347, eq. 7) as a mask. w is `negative_weight` where A < 0. KL is of the policy against the
anchor over the whole vocabulary: with neither it nor w the tiny policy collapses (measured).
Legend: M tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.dispatch import HeadOutputs
from .settings import LearnerSettings

LOG_RATIO_LIMIT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one minibatch says."""

    total: Tensor
    """Scalar to differentiate."""
    sums: dict[str, float]
    """Sums over tokens of what is reported, to be divided by their count."""


def policy_loss(
    head: HeadOutputs,
    behaviour_M: Tensor,
    advantages_M: Tensor,
    *,
    normaliser: float,
    settings: LearnerSettings,
) -> Loss:
    """Loss of tokens, as above, divided by `normaliser`: the tokens of the whole step."""
    log_ratio_M = (head.logp.detach() - behaviour_M).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio_M = log_ratio_M.exp()
    keep_M = kept(ratio_M, advantages_M, settings.ratio_mask)
    side_M = torch.ones_like(ratio_M).masked_fill(advantages_M < 0, settings.negative_weight)
    weight_M = keep_M * ratio_M.clamp(max=settings.ratio_cap) * side_M * advantages_M
    policy = -(weight_M * head.logp).sum() / normaliser
    anchor = head.kl.sum() / normaliser
    sums = {
        **ratio_sums(head, log_ratio_M),
        "loss/policy": float(policy.detach()) * normaliser,
        "ratio/capped": float((ratio_M > settings.ratio_cap).sum()),
        "ratio/masked": float((~keep_M).sum()),
        "advantage/negative_share": float((weight_M * (advantages_M < 0)).abs().sum()),
        "advantage/weight": float(weight_M.abs().sum()),
    }
    return Loss(total=policy + settings.kl_weight * anchor, sums=sums)


def kept(ratio_M: Tensor, advantages_M: Tensor, width: float) -> Tensor:
    """Return the tokens that still pull [M, bool]; a width of 0 keeps all."""
    if width == 0.0:
        return torch.ones_like(ratio_M, dtype=torch.bool)
    gone_up_M = (advantages_M > 0) & (ratio_M > 1.0 + width)
    gone_down_M = (advantages_M < 0) & (ratio_M < 1.0 - width)
    return ~(gone_up_M | gone_down_M)


def ratio_sums(head: HeadOutputs, log_ratio_M: Tensor) -> dict[str, float]:
    """Sums over tokens that say how far policy and behaviour lie apart.

    `mismatch/k3` is rho - log rho - 1, an estimate of KL(mu || pi) that is never negative
    (Schulman 2020); ESS is worked out from the two sums of weights.
    """
    ratio_M = log_ratio_M.exp()
    return {
        "tokens": float(len(log_ratio_M)),
        "mismatch/k3": float((log_ratio_M.expm1() - log_ratio_M).sum()),
        "ratio/mean": float(ratio_M.sum()),
        "ratio/squares": float(ratio_M.square().sum()),
        "entropy": float(head.entropy.detach().sum()),
        "kl/anchor": float(head.kl.detach().sum()),
    }


def means(sums: dict[str, float]) -> dict[str, float]:
    """Turn sums over tokens into what is reported: means, shares and the effective sample size."""
    tokens, weight = sums["tokens"], sums.get("advantage/weight", 0.0)
    hidden = ("tokens", "ratio/squares", "advantage/weight", "advantage/negative_share")
    shown = {name: value / tokens for name, value in sums.items() if name not in hidden}
    shown["ratio/ess"] = sums["ratio/mean"] ** 2 / (tokens * sums["ratio/squares"])
    if weight > 0.0:
        shown["advantage/negative_share"] = sums["advantage/negative_share"] / weight
    return shown
