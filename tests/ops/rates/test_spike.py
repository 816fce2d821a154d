"""Spike: tails against exact sums and known values, and how often nothing is called a spike."""

import math

import numpy as np
import pytest

from rlwd.ops.rates.spike import (
    LEAST_SPREAD,
    Baseline,
    baseline_of,
    binomial_tail,
    spike_tail,
)
from rlwd.ops.tool_errors.watch import SPIKE_ALPHA


@pytest.mark.parametrize(("errors", "calls", "rate"), [(0, 9, 0.1), (3, 20, 0.1), (20, 20, 0.4)])
def test_a_binomial_tail_is_the_sum_of_its_terms(errors: int, calls: int, rate: float) -> None:
    """So many or more, summed term by term."""
    exact = sum(
        math.comb(calls, k) * rate**k * (1 - rate) ** (calls - k) for k in range(errors, calls + 1)
    )
    assert binomial_tail(errors, calls, rate) == pytest.approx(exact, rel=1e-9)


def test_a_flat_prior_gives_every_count_the_same_chance() -> None:
    """Beta-binomial with a = b = 1 is uniform over 0 to n: the tail counts what is left."""
    # Two calls of which one failed: Jeffreys' rate is 1/2; a precision of 2 makes a = b = 1.
    flat = Baseline(10**12 - 1, (10**12 - 2) // 2, 1 / 3)
    for errors in range(1, 11):
        assert spike_tail(errors, 10, flat) == pytest.approx((11 - errors) / 11, rel=1e-6)


def test_the_spread_of_windows_is_found_again() -> None:
    """Windows drawn with a correlation between their calls show it; independent ones show none."""
    rng = np.random.default_rng(3)
    for spread in (0.0, 0.02, 0.1):
        rates = np.full(3000, 0.2)
        if spread:
            rates = rng.beta(0.2 * (1 / spread - 1), 0.8 * (1 / spread - 1), 3000)
        calls = rng.integers(50, 400, 3000)
        windows = list(zip(calls.tolist(), rng.binomial(calls, rates).tolist(), strict=True))
        found = baseline_of(windows)
        assert found.rate == pytest.approx(0.2, rel=0.05)
        assert found.spread == pytest.approx(max(spread, LEAST_SPREAD), rel=0.15)


def test_a_short_past_is_a_wide_one() -> None:
    """The same share of failures before says less where fewer calls were seen."""
    tails = [spike_tail(20, 200, Baseline(n, n // 50, LEAST_SPREAD)) for n in (50, 500, 50_000)]
    assert tails[0] > 10 * tails[1] > 10 * tails[2]


def test_nothing_new_is_no_spike() -> None:
    """In 400 days of tools that fail in clusters as they always did, one alarm at most."""
    rng, alarms = np.random.default_rng(7), 0
    for rate, spread in ((0.01, 0.0), (0.02, 0.01), (0.2, 0.02)):
        for _ in range(14):
            prior = (rate * (1 / spread - 1), (1 - rate) * (1 / spread - 1)) if spread else None
            rates = np.full(24 * 17, rate) if prior is None else rng.beta(*prior, 24 * 17)
            calls = rng.poisson(300, 24 * 17)
            errors = rng.binomial(calls, rates)
            past = list(zip(calls.tolist(), errors.tolist(), strict=True))
            for hour in range(24 * 7, 24 * 17):
                before = baseline_of(past[hour - 24 * 7 : hour])
                n, k = past[hour]
                alarms += k > 2 * before.rate * n and spike_tail(k, n, before) < SPIKE_ALPHA
    assert alarms <= 1
