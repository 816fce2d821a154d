"""Pulls: how hard each token of a batch is pulled, worked out from log-probabilities alone.

w is the advantage times a ratio, and nothing outside the trust region (`learner/trust_region.py`); it
bears no gradient. So whoever can say log-probabilities and add up w_t grad log pi_t learns by any region.
Legend: M tokens, one entry for each episode.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..kernels.dispatch import (
    Packed,
    PolicyGradient,
    TokenObjective,
    log_ratios,
    segment_losses,
    token_weights,
)
from .settings import LearnerSettings
from .trust_region import TrustRegion


def objective(settings: LearnerSettings) -> TokenObjective:
    """Return the constants of a token's pull as the kernels take them."""
    region = settings.region
    return TokenObjective(
        ratio_cap=0.0 if region.proximal else region.ratio_cap,
        mask_below=region.mask_below,
        mask_above=region.mask_above,
        band_low=region.band_low,
        band_high=region.band_high,
        probability_mask=region.probability_mask,
        negative_weight=settings.negative_weight,
        kl_weight=settings.kl_weight,
    )


def cut(ratio_M: Tensor, region: TrustRegion) -> Tensor:
    """Return the importance ratios as the region cuts them."""
    return ratio_M.clamp(max=region.ratio_cap) if region.ratio_cap else ratio_M


def answer_objective(settings: LearnerSettings, token: TokenObjective) -> PolicyGradient:
    """Return the constants of a region that whole answers decide."""
    region = settings.region
    return PolicyGradient(
        token=token,
        filter=region.filter,
        limit=region.limit,
        negatives_only=region.negatives_only,
        sequence_ratio=region.sequence_ratio,
    )


def first_pulls(
    logp: Sequence[Tensor],
    behaviour: Sequence[Tensor],
    advantages: Sequence[Tensor],
    settings: LearnerSettings,
) -> Tensor:
    """Return w [M] of a batch's tokens, one entry for each episode, before the first step."""
    return pulls(logp, logp, behaviour, advantages, settings)


def pulls(
    logp: Sequence[Tensor],
    old: Sequence[Tensor],
    behaviour: Sequence[Tensor],
    advantages: Sequence[Tensor],
    settings: LearnerSettings,
) -> Tensor:
    """Return w [M] at log-probabilities `logp`; `old` are those before the batch.

    The gradient of the loss is that of -sum(e w log pi) / N, e and N as in `loss.py`, without its KL.
    """
    logp_M, behaviour_M, advantages_M = (torch.cat(list(e)) for e in (logp, behaviour, advantages))
    region, token = settings.region, replace(objective(settings), kl_weight=0.0)
    if region.by_answer:
        ends = torch.tensor([len(each) for each in logp], device=logp_M.device).cumsum(0)
        bounds = torch.nn.functional.pad(ends, (1, 0))
        packed = Packed(logp=logp_M, bounds=bounds, behaviour=behaviour_M, advantages=advantages_M)
        return -segment_losses(packed, answer_objective(settings, token)).grad_M
    if region.proximal:
        old_M = torch.cat(list(old))
        advantages_M = advantages_M * cut(log_ratios(old_M, behaviour_M).exp(), region)
        behaviour_M = old_M
    return token_weights(logp_M, behaviour_M, advantages_M, token)


def pull_sums(
    weight_M: Tensor, advantages_M: Tensor, settings: LearnerSettings
) -> dict[str, float]:
    """Sums over the tokens that pull (w is not 0): of these, and of what w has beside the advantage.

    That is the importance ratio as the trust region uses it, cut where it cuts; neither the episode's
    weight nor `negative_weight` is in it.
    """
    side_M = torch.where(advantages_M < 0, settings.negative_weight, 1.0)
    pulling_M = weight_M != 0
    ratio_M = (weight_M / (side_M * advantages_M))[pulling_M].abs()
    return {
        "pull/count": float(len(ratio_M)),
        "pull/ratio": float(ratio_M.sum()),
        "pull/squares": float(ratio_M.square().sum()),
    }


def effective_share(sums: Mapping[str, float]) -> float:
    """Return (sum of ratios)^2 / (n sum of squares), Kish's effective sample size a token, in [0, 1].

    Of `pull_sums`; 0 where no token pulls. Ratios 1, 1, 2 and a token that is masked: 16 / 18.
    """
    if not sums["pull/squares"]:
        return 0.0
    return sums["pull/ratio"] ** 2 / (sums["pull/count"] * sums["pull/squares"])
