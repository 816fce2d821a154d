"""Rises: which of many rates rose over their past, so that few of those named did not.

Days are the windows: the rate of a day may vary as days did before, and the sum of a week's days varies
less than its days do.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from .spike import Baseline, baseline_of, none_tail, spike_tail

LEAST_WINDOWS = 7
"""Windows of the past from which on a rate is held against it: fewer do not say how it varies."""
LEAST_RATIO, LEAST_POINTS = 2.0, 0.05
"""A rise is to so many times the rate before, or by so many points where that is less: with many calls
3 % is clearly more than 2.5 %, and nothing to read a report for."""

BURSTS = 3.0
"""What comes in bursts has a heavier tail than a beta-binomial of its variance: so many times the variance
of a sum of days is allowed (measured: docs/triage.md)."""

Key = TypeVar("Key", bound=Hashable)
Windows = Sequence[tuple[int, int]]
"""Trials and hits, a window each."""


def rise_tail(now: Windows, before: Windows) -> float:
    """Return the probability of so many hits or more if nothing has changed; 1 where nothing is shown.

    Nothing is shown by a rise that is too small to matter, and against a past of fewer than
    `LEAST_WINDOWS` windows.
    """
    past = [(trials, hits) for trials, hits in before if trials]
    trials, hits = sum(n for n, _ in now), sum(k for _, k in now)
    if not trials or len(past) < LEAST_WINDOWS:
        return 1.0
    of_windows = baseline_of(past, LEAST_WINDOWS)
    if not matters(hits, trials, of_windows.rate):
        return 1.0
    return spike_tail(hits, trials, _of_all(of_windows, now, past))


def gone_tail(now: Windows, before: Windows) -> float:
    """Return the probability of no hit at all if nothing has changed; 1 where nothing is shown.

    A hit of what is said to be gone is a hit: there is none in `now`.
    """
    past = [(trials, hits) for trials, hits in before if trials]
    trials = sum(n for n, _ in now)
    if not trials or len(past) < LEAST_WINDOWS:
        return 1.0
    known = _of_all(baseline_of(past, LEAST_WINDOWS), now, past)
    return none_tail(trials, known)


def matters(hits: int, trials: int, rate: float) -> bool:
    """Return whether a rate is enough above another for anybody to read of it.

    >>> matters(4, 100, 0.01), matters(3, 100, 0.02), matters(70, 100, 0.6), matters(62, 100, 0.6)
    (True, False, True, False)
    """
    return hits > trials * min(LEAST_RATIO * rate, rate + LEAST_POINTS)


def discoveries(tails: Mapping[Key, float], false_share: float) -> set[Key]:
    """Return which of many tails to name, so that at most this share of the named is false on average.

    Benjamini and Hochberg, J. R. Statist. Soc. B 57, 1995: it holds where tails are independent, or rise
    and fall together (Benjamini and Yekutieli, Ann. Statist. 29, 2001), as those of one outage do.

    >>> sorted(discoveries({"a": 0.001, "b": 0.02, "c": 0.6, "d": 0.03}, 0.05))
    ['a', 'b', 'd']
    """
    order = sorted(tails.values())
    passed = [tail for n, tail in enumerate(order, 1) if tail <= false_share * n / len(order)]
    return {key for key, tail in tails.items() if passed and tail <= passed[-1]}


def _of_all(past: Baseline, now: Windows, before: Windows) -> Baseline:
    """Return the baseline as the sum of all windows has it: effects of windows cancel in part.

    The variance of a sum of windows that each vary alone is that of one window of their size with this
    correlation; the past itself counts for as many trials as would be known as well without any.
    """
    trials = sum(n for n, _ in now)
    pairs = sum(n * (n - 1) for n, _ in now)
    spread = min(0.9, BURSTS * past.spread * pairs / max(1, trials * (trials - 1)))
    size = sum(n * n for n, _ in before) / max(1, past.calls)
    effect = 1.0 + max(0.0, size - 1.0) * past.spread
    known = Baseline(round(past.calls / effect), round(past.errors / effect), max(spread, 1e-9))
    # Rounding a few hits down to none would call the next one a marvel.
    return known._replace(errors=max(known.errors, min(past.errors, 1)))
