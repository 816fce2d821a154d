"""Ratio: a token's importance weight, in Triton, for whichever kernel has its log-probability.

Equal to `objective.log_ratios`, `objective.token_weights` and `objective.pulls`.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import triton
import triton.language as tl


@triton.jit
def log_ratio(logp, behaviour, LIMIT: tl.constexpr):
    """Log-ratio, within the limits that keep its exponential finite."""
    return tl.minimum(tl.maximum(logp - behaviour, -LIMIT), LIMIT)


@triton.jit
def token_pull(
    ratio, logp, behaviour, advantage,
    CAP: tl.constexpr, BELOW: tl.constexpr, ABOVE: tl.constexpr, LOW: tl.constexpr,
    HIGH: tl.constexpr, MOVED: tl.constexpr, NEGATIVE: tl.constexpr,
):  # fmt: skip
    """Truncated ratio times advantage; 0 outside the trust region. A bound of 0 is absent."""
    weight = ratio * advantage
    if CAP > 0:
        weight = tl.minimum(ratio, CAP) * advantage
    weight = tl.where(advantage < 0, weight * NEGATIVE, weight)
    if ABOVE > 0:
        weight = tl.where((advantage > 0) & (ratio > 1.0 + ABOVE), 0.0, weight)
    if BELOW > 0:
        weight = tl.where((advantage < 0) & (ratio < 1.0 - BELOW), 0.0, weight)
    if LOW > 0:
        weight = tl.where(ratio < LOW, 0.0, weight)
    if HIGH > 0:
        weight = tl.where(ratio > HIGH, 0.0, weight)
    if MOVED > 0:
        moved = tl.exp(tl.minimum(logp, 0.0)) - tl.exp(tl.minimum(behaviour, 0.0))
        weight = tl.where((advantage > 0) & (moved > MOVED), 0.0, weight)
        weight = tl.where((advantage < 0) & (moved < -MOVED), 0.0, weight)
    return weight


@triton.jit
def token_weight(
    logp, behaviour, advantage, LIMIT: tl.constexpr,
    CAP: tl.constexpr, BELOW: tl.constexpr, ABOVE: tl.constexpr, LOW: tl.constexpr,
    HIGH: tl.constexpr, MOVED: tl.constexpr, NEGATIVE: tl.constexpr,
):  # fmt: skip
    """As `token_pull`, by the token's own ratio."""
    ratio = tl.exp(log_ratio(logp, behaviour, LIMIT))
    return token_pull(
        ratio, logp, behaviour, advantage, CAP, BELOW, ABOVE, LOW, HIGH, MOVED, NEGATIVE
    )
