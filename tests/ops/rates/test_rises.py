"""Rises: how many of those named did not rise, where hits come in clusters, and what is found."""

import numpy as np
import pytest

from rlwd.ops.rates.rises import discoveries, gone_tail, rise_tail

DAYS, NOW = 28, 7
SHARE, REPORTS = 0.05, 40


def counts(
    chance: np.random.Generator, days: int, rate: float, spread: float
) -> list[tuple[int, int]]:
    """Return days of trials and hits; the rate of a day varies with this intraclass correlation."""
    found = []
    for _ in range(days):
        trials = int(chance.integers(100, 400))
        own = 1 / spread - 1 if spread else 0.0
        of_day = chance.beta(rate * own, (1 - rate) * own) if spread else rate
        found.append((trials, int(chance.binomial(trials, of_day))))
    return found


@pytest.mark.parametrize(("spread", "least"), [(0.0, 0.95), (0.003, 0.75), (0.02, 0.5)])
def test_few_of_those_named_did_not_rise(spread: float, least: float) -> None:
    """Of 40 groups three rise to four times their rate: all that is named in 40 reports is almost only these."""
    chance = np.random.default_rng(5)
    shares, found = [], 0
    for _ in range(REPORTS):
        tails = {}
        for group in range(40):
            rate = float(chance.choice([0.004, 0.02, 0.1]))
            before = counts(chance, DAYS, rate, spread)
            now = counts(chance, NOW, rate * (4 if group < 3 else 1), spread)
            tails[group] = rise_tail(now, before)
        named = discoveries(tails, SHARE)
        found += len(named & {0, 1, 2})
        shares.append(len(named - {0, 1, 2}) / max(1, len(named)))
    assert np.mean(shares) <= SHARE
    assert found >= least * 3 * REPORTS


def test_what_nothing_is_known_of_is_no_rise() -> None:
    """Against a past of too few days, or none, nothing is shown, however much there is now."""
    assert rise_tail([(100, 90)] * 7, [(100, 1)] * 6) == 1.0
    assert rise_tail([(100, 90)] * 7, []) == 1.0
    assert rise_tail([], [(100, 1)] * 28) == 1.0


def test_one_bad_day_of_a_quiet_past_is_a_rise() -> None:
    """An outage of a day is not lost in its week."""
    week = [(144, 0)] * 6 + [(144, 40)]
    assert rise_tail(week, [(144, 1)] * 28) < 1e-6


def test_what_is_rare_is_not_gone_and_what_came_daily_is() -> None:
    """A week without something that comes once a month says nothing."""
    week = [(144, 0)] * 7
    assert gone_tail(week, [(144, 5)] * 28) < 0.001
    # So far below what was to be expected that no float holds the probability of a single hit.
    for trials, hits in ((400, 200), (20_000, 2000), (1_000_000, 300_000)):
        assert gone_tail([(trials, 0)] * 7, [(trials, hits)] * 28) < 1e-9
    assert gone_tail(week, [(144, 0)] * 27 + [(144, 1)]) > 0.2
