"""Objective: the losses' constants, and what a token-level policy gradient pulls a token with.

    L = (1/N) sum_t -w_t log pi_t + kl_weight KL_t,   w = keep sg[min(rho, C)] side A

rho = pi / mu against the log-probability logged while serving, its logarithm held within 20 either
way, cut at C (truncated importance sampling). keep leaves out a token whose ratio already left
[1 - mask, 1 + mask] on the side that the step pushes to: the clip of PPO (arXiv 1707.06347, eq. 7)
as a mask. side is `negative_weight` where A < 0. Legend: M tokens.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenObjective:
    """The constants above.

    With cap 2, mask 0.2, negative_weight 0.2: a token of ratio 4 and advantage -1 weighs
    2 * 0.2 * -1 = -0.4; of ratio 4 and advantage 1 it is left out: 0.
    """

    ratio_cap: float
    """C."""
    ratio_mask: float
    """Width of the mask; 0 keeps every token."""
    negative_weight: float
    """Weight of tokens whose advantage is below 0."""
    kl_weight: float
    """Weight of KL(policy || anchor)."""


Filter = Literal["none", "mean", "geometric", "k3"]
FILTERS: tuple[Filter, ...] = ("none", "mean", "geometric", "k3")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGradient:
    """Token-level pulls, as `TokenObjective`, with a filter over whole episodes and KL terms.

    With d = log pi - log mu of a token: loss = sum_t -w_t log pi_t + kl_weight KL_t
    + reference_weight (exp(r) - 1 - r) + drift_weight d^2, r = log ref - log pi.
    """

    token: TokenObjective
    """Cap, mask, weight of negatives and weight of the exact KL."""
    filter: Filter = "none"
    """What of an episode is held against `limit`: `mean` the absolute mean of d, `geometric` how far
    exp(mean d) is from 1, `k3` the mean of exp(d) - 1 - d. One beyond it pulls nowhere (w = 0)."""
    limit: float = 0.05
    """Bound that `filter` holds an episode against."""
    negatives_only: bool = False
    """Filter only tokens whose advantage is below 0 (DeepSeek-V3.2's rule)."""
    reference_weight: float = 0.0
    """Of the k3 estimate of KL(pi || reference) (Schulman 2020), where `reference` is given."""
    drift_weight: float = 0.0
    """Of the squared log-ratio to the behaviour policy (tau; 1e-3 where it is used)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kto:
    """Unpaired thumbs (arXiv 2402.01306, eq. 8): w (1 - sigmoid(sign beta (s - z)))

    s is an episode's summed log-ratio to the reference, z a constant: the batch's mean KL.
    """

    beta: float = 0.1
    """How sharply a difference counts."""
    desirable: float = 1.0
    """w of episodes with a thumb up."""
    undesirable: float = 1.0
    """w of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dpo:
    """Pairs of an edited and an original answer (arXiv 2305.18290, eq. 7).

    -log sigmoid(beta (s_chosen - s_rejected)) - likelihood_weight mean_t log pi_t of the chosen.
    """

    beta: float = 0.1
    """How sharply a difference counts."""
    by_length: bool = True
    """s is the mean over an episode's tokens in place of the sum."""
    likelihood_weight: float = 0.0
    """Of the chosen answer's own negative log-likelihood."""


Objective = PolicyGradient | Kto | Dpo


def token_weights(
    logp_M: Tensor, behaviour_M: Tensor, advantages_M: Tensor, objective: TokenObjective
) -> Tensor:
    """Return w [M], above, without gradient: -w / N is the loss's derivative to `logp_M`."""
    ratio_M = log_ratios(logp_M, behaviour_M).exp()
    keep_M = kept(ratio_M, advantages_M, objective.ratio_mask)
    side_M = torch.ones_like(ratio_M).masked_fill_(advantages_M < 0, objective.negative_weight)
    return keep_M * ratio_M.clamp(max=objective.ratio_cap) * side_M * advantages_M


def log_ratios(logp_M: Tensor, behaviour_M: Tensor) -> Tensor:
    """Return log(pi / mu) [M], held within 20 either way, without gradient."""
    return (logp_M.detach() - behaviour_M).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def kept(ratio_M: Tensor, advantages_M: Tensor, width: float) -> Tensor:
    """Return the tokens that still pull [M, bool]; a width of 0 keeps all."""
    if width == 0.0:
        return torch.ones_like(ratio_M, dtype=torch.bool)
    gone_up_M = (advantages_M > 0) & (ratio_M > 1.0 + width)
    gone_down_M = (advantages_M < 0) & (ratio_M < 1.0 - width)
    return ~(gone_up_M | gone_down_M)
