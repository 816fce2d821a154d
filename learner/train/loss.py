"""Loss: truncated-importance policy gradient over tokens, with a trust region and an anchor.

    L = (1/N) sum_t e_t (-w_t log pi_t + kl_weight KL_t)

e is the weight of the token's episode: one of 2 pulls, and is held to the anchor, as the episode twice.
w is `kernels.objective.token_weights`: the advantage times a ratio cut at C, without gradient, and
nothing where the ratio already left 1 on the side that the step pushes to. KL is of the policy
against the anchor over the whole vocabulary: without it and at `negative_weight` 1 the tiny policy
collapses (measured); that weight below 1 is another objective than the mean reward. Legend: M tokens, D hidden width, V vocabulary.
"""

from dataclasses import dataclass

from torch import Tensor

from ...kernels.dispatch import (
    LOG_RATIO_LIMIT,
    HeadOutputs,
    TokenObjective,
    kept,
    log_ratios,
    token_loss,
)
from ..settings import LearnerSettings
from .packing import Pack

__all__ = ["LOG_RATIO_LIMIT", "Loss", "kept", "means", "ratio_sums", "swept_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one minibatch says."""

    total: Tensor
    """Scalar to differentiate."""
    sums: dict[str, float]
    """Sums over tokens of what is reported, to be divided by their count."""


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
) -> Loss:
    """Loss of a pack's tokens, N being `normaliser`: the weight of the whole step's tokens.

    `weights_M` are their episodes' weights; None is 1 each.

    Its gradient is formed in the head's own sweep (`kernels/dispatch.py`).
    """
    total, head, weight_M = token_loss(
        hidden_MD,
        anchor_MD,
        head_VD,
        packed.targets_M,
        packed.temperature_M,
        packed.behaviour_M,
        advantages_M,
        objective(settings),
        normaliser=normaliser,
        row_weights_M=weights_M,
    )
    pulls_M = weight_M if weights_M is None else weight_M * weights_M
    return Loss(total=total, sums=_sums(head, pulls_M, packed.behaviour_M, advantages_M, settings))


def objective(settings: LearnerSettings) -> TokenObjective:
    """Return the loss's constants as the kernels take them."""
    return TokenObjective(
        ratio_cap=settings.ratio_cap,
        ratio_mask=settings.ratio_mask,
        negative_weight=settings.negative_weight,
        kl_weight=settings.kl_weight,
    )


def _sums(
    head: HeadOutputs,
    weight_M: Tensor,
    behaviour_M: Tensor,
    advantages_M: Tensor,
    settings: LearnerSettings,
) -> dict[str, float]:
    log_ratio_M = log_ratios(head.logp, behaviour_M)
    ratio_M = log_ratio_M.exp()
    keep_M = kept(ratio_M, advantages_M, settings.ratio_mask)
    return {
        **ratio_sums(head, log_ratio_M),
        "loss/policy": -float((weight_M * head.logp.detach()).sum()),
        "ratio/capped": float((ratio_M > settings.ratio_cap).sum()),
        "ratio/masked": float((~keep_M).sum()),
        "advantage/negative_share": float((weight_M * (advantages_M < 0)).abs().sum()),
        "advantage/weight": float(weight_M.abs().sum()),
    }


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
