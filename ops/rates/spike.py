"""Spike: are there more failures among some calls than a rate of failures lets one expect?"""

import math
from collections.abc import Sequence
from typing import NamedTuple

LEAST_SPREAD = 1e-3
"""Intraclass correlation of the failures of one window that is always allowed for: one person's broken
set-up fails many times. Measured where there is a past to measure it on."""
NEGLIGIBLE = 1e-12
"""Part of the tail from which on the rest of its terms is left out."""


class Baseline(NamedTuple):
    """How often a tool failed before."""

    calls: int
    """Calls that were counted."""
    errors: int
    """Of those, the failures of one class."""
    spread: float
    """Intraclass correlation between calls of one window, at least LEAST_SPREAD."""

    @property
    def rate(self) -> float:
        """Posterior mean of the rate of failures, under Jeffreys' prior."""
        return (self.errors + 0.5) / (self.calls + 1.0)


def baseline_of(windows: Sequence[tuple[int, int]], least_windows: int = 8) -> Baseline:
    """Return the baseline of windows of (calls, errors).

    The spread is the moment estimate of a beta-binomial's intraclass correlation (Kleinman, JASA 68,
    1973, equation 2.3 with weights by calls), from `least_windows` windows on.
    """
    counted = [(calls, errors) for calls, errors in windows if calls]
    calls, errors = sum(n for n, _ in counted), sum(k for _, k in counted)
    rate, spread = errors / max(calls, 1), LEAST_SPREAD
    if len(counted) >= least_windows and 0.0 < rate < 1.0:
        squares = sum(n * (k / n - rate) ** 2 for n, k in counted)
        expected = rate * (1 - rate) * (len(counted) - 1)
        room = calls - sum(n * n for n, _ in counted) / calls - (len(counted) - 1)
        if room > 0:
            spread = (squares - expected) / (rate * (1 - rate) * room)
    return Baseline(calls, errors, min(0.5, max(LEAST_SPREAD, spread)))


def binomial_tail(errors: int, calls: int, rate: float) -> float:
    """Return the probability of so many failures or more, each call failing alone at this rate."""
    if errors <= 0:
        return 1.0
    term = math.exp(
        _choose(calls, errors) + errors * math.log(rate) + (calls - errors) * math.log1p(-rate)
    )
    odds, total = rate / (1 - rate), 0.0
    for k in range(errors, calls + 1):
        total += term
        term *= (calls - k) / (k + 1) * odds
        if term < NEGLIGIBLE * total and k >= rate * calls:
            break
    return min(1.0, total)


def spike_tail(errors: int, calls: int, before: Baseline) -> float:
    """Return the probability of so many failures or more if nothing has changed.

    Beta-binomial: the rate of a window varies as windows did before, and is known as well as so many
    calls let one know it.
    """
    if errors <= 0:
        return 1.0
    a, b = _prior(before)
    term = math.exp(
        _choose(calls, errors) + _log_beta(errors + a, calls - errors + b) - _log_beta(a, b)
    )
    total, middle = 0.0, before.rate * calls
    for k in range(errors, calls + 1):
        total += term
        if k < calls:
            term *= (calls - k) / (k + 1) * (k + a) / (calls - k - 1 + b)
        if term < NEGLIGIBLE * total and k >= middle:
            break
    return min(1.0, total)


def none_tail(calls: int, before: Baseline) -> float:
    """Return the probability of no failure at all if nothing has changed; beta-binomial as `spike_tail`."""
    a, b = _prior(before)
    return math.exp(_log_beta(a, calls + b) - _log_beta(a, b))


def _prior(before: Baseline) -> tuple[float, float]:
    """Return the parameters of the beta distribution that the rate of a window is drawn from."""
    # Two reasons to be unsure of the rate add up as their variances do.
    known = 1 / (before.spread / (1 - before.spread) + 1 / (before.calls + 1.0))
    return before.rate * known, (1 - before.rate) * known


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
