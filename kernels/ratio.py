"""Ratio: a token's importance weight, in Triton, for whichever kernel has its log-probability.

Equal to `objective.log_ratios` and `objective.token_weights`.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import triton
import triton.language as tl


@triton.jit
def log_ratio(logp, behaviour, LIMIT: tl.constexpr):
    """Log-ratio, within the limits that keep its exponential finite."""
    return tl.minimum(tl.maximum(logp - behaviour, -LIMIT), LIMIT)


@triton.jit
def token_weight(
    logp, behaviour, advantage,
    LIMIT: tl.constexpr, CAP: tl.constexpr, MASK: tl.constexpr, NEGATIVE: tl.constexpr,
):  # fmt: skip
    """Truncated ratio times advantage; 0 where the ratio has left the mask's bounds."""
    ratio = tl.exp(log_ratio(logp, behaviour, LIMIT))
    weight = tl.minimum(ratio, CAP) * advantage
    weight = tl.where(advantage < 0, weight * NEGATIVE, weight)
    if MASK > 0:
        up = (advantage > 0) & (ratio > 1.0 + MASK)
        down = (advantage < 0) & (ratio < 1.0 - MASK)
        weight = tl.where(up | down, 0.0, weight)
    return weight
