"""Objective: the losses' constants, and what a token-level policy gradient pulls a token with.

    L = (1/N) sum_t -w_t log pi_t + kl_weight KL_t,   w = keep sg[min(rho, C)] side A

rho = pi / mu against the log-probability logged while serving, its logarithm held within 20 either
way, cut at C (truncated importance sampling). side is `negative_weight` where A < 0. keep is the
trust region, as a mask; each of its bounds may be absent:
- one-sided in the ratio: out where rho left [1 - below, 1 + above] on the side that the step pushes
  to, the clip of PPO (arXiv 1707.06347, eq. 7);
- a band: out where rho is below its low or above its high end, whichever way the step pushes (IcePop;
  masked importance sampling with a high end alone);
- one-sided in probability: out where A > 0 and pi - mu > d, or A < 0 and pi - mu < -d (DPPO's binary
  total variation, arXiv 2602.04879).
Legend: M tokens.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenObjective:
    """The constants above; a bound of 0 is absent.

    With cap 2, mask 0.2 either way, negative_weight 0.2: a token of ratio 4 and advantage -1 weighs
    2 * 0.2 * -1 = -0.4; of ratio 4 and advantage 1 it is left out: 0.
    """

    ratio_cap: float = 0.0
    """C."""
    mask_below: float = 0.0
    """How far below 1 the ratio of a token with A < 0 may be."""
    mask_above: float = 0.0
    """How far above 1 the ratio of a token with A > 0 may be."""
    band_low: float = 0.0
    """Least ratio of a token that pulls."""
    band_high: float = 0.0
    """Largest ratio of a token that pulls."""
    probability_mask: float = 0.0
    """d: how far a token's probability may have moved towards where the step pushes it."""
    negative_weight: float = 1.0
    """Weight of tokens whose advantage is below 0."""
    kl_weight: float = 0.0
    """Weight of KL(policy || anchor)."""

    def constants(self) -> dict[str, float]:
        """Return the constants of w as `ratio.token_pull` names them."""
        return {
            "CAP": self.ratio_cap,
            "BELOW": self.mask_below,
            "ABOVE": self.mask_above,
            "LOW": self.band_low,
            "HIGH": self.band_high,
            "MOVED": self.probability_mask,
            "NEGATIVE": self.negative_weight,
        }


Filter = Literal["none", "mean", "geometric", "k3", "stale"]
FILTERS: tuple[Filter, ...] = ("none", "mean", "geometric", "k3", "stale")


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
    exp(mean d) is from 1, `k3` the mean of exp(d) - 1 - d, `stale` the mean of -d: how much less
    likely the answer has become. One beyond it pulls nowhere (w = 0)."""
    limit: float = 0.05
    """Bound that `filter` holds an episode against."""
    negatives_only: bool = False
    """Filter only tokens whose advantage is below 0 (with `stale` DeepSeek-V3.2's rule)."""
    sequence_ratio: bool = False
    """In w, a token's ratio is its episode's: exp(mean d), the ratio of GSPO (arXiv 2507.18071, eq. 7)."""
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
    return pulls(ratio_M, probability_moved(logp_M, behaviour_M), advantages_M, objective)


def pulls(
    ratio_M: Tensor, moved_M: Tensor, advantages_M: Tensor, objective: TokenObjective
) -> Tensor:
    """Return w [M] of tokens with these ratios, and probabilities moved by `moved_M`."""
    side_M = torch.ones_like(ratio_M).masked_fill_(advantages_M < 0, objective.negative_weight)
    cut_M = ratio_M.clamp(max=objective.ratio_cap) if objective.ratio_cap else ratio_M
    return kept(ratio_M, moved_M, advantages_M, objective) * cut_M * side_M * advantages_M


def log_ratios(logp_M: Tensor, behaviour_M: Tensor) -> Tensor:
    """Return log(pi / mu) [M], held within 20 either way, without gradient."""
    return (logp_M.detach() - behaviour_M).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def probability_moved(logp_M: Tensor, behaviour_M: Tensor) -> Tensor:
    """Return pi - mu [M], without gradient; what rounding put above 0 counts as 0."""
    return logp_M.detach().clamp(max=0.0).exp() - behaviour_M.clamp(max=0.0).exp()


def kept(
    ratio_M: Tensor, moved_M: Tensor, advantages_M: Tensor, objective: TokenObjective
) -> Tensor:
    """Return the tokens inside the trust region [M, bool]."""
    rising_M, falling_M = advantages_M > 0, advantages_M < 0
    out_M = torch.zeros_like(ratio_M, dtype=torch.bool)
    if objective.mask_above:
        out_M |= rising_M & (ratio_M > 1.0 + objective.mask_above)
    if objective.mask_below:
        out_M |= falling_M & (ratio_M < 1.0 - objective.mask_below)
    if objective.band_low:
        out_M |= ratio_M < objective.band_low
    if objective.band_high:
        out_M |= ratio_M > objective.band_high
    if objective.probability_mask:
        out_M |= rising_M & (moved_M > objective.probability_mask)
        out_M |= falling_M & (moved_M < -objective.probability_mask)
    return ~out_M
