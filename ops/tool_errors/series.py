"""Series: the calls of one tool, held against the bar, or against how they ended before."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .blame import UNKNOWN, WATCHED
from .calls_table import CallCount, ToolAnomaly
from .settings import ToolErrorSettings
from .spike import Baseline, baseline_of, binomial_tail, spike_tail

DAY = 86_400.0
LEAST_RATIO = 2.0
"""A spike is at least so many times its past rate: with many calls 3 % is clearly more than 2.5 %,
and nothing to be woken for."""

Ended = Counter[str]
"""Calls by how they ended."""


class Tested(NamedTuple):
    """One series of calls, held against what it should be."""

    tool: str
    """Name of the tool."""
    version: str
    """Version that called; empty for any."""
    error_class: str
    """The way of failing."""
    calls: int
    """Calls in the window."""
    errors: int
    """Of those, the ones that failed so."""
    expected: float
    """The bar, or the rate before."""
    chance: float
    """Probability of so many failures where nothing is wrong."""


def tested(
    now: Iterable[CallCount],
    before: Iterable[CallCount],
    known: Sequence[ToolAnomaly],
    settings: ToolErrorSettings,
) -> Iterator[Tested]:
    """Yield every series with calls enough in the window.

    The unknown failures of a tool are held against the bar; each other class of a tool and a version
    against that version's past, or, where it has too little, the tool's with any version. What
    failed in an anomaly's first day is nobody's past: after it that is how things are.
    """
    by_tool, by_both = (
        defaultdict[str, Ended](Counter),
        defaultdict[tuple[str, str], Ended](Counter),
    )
    for one in now:
        by_tool[one.tool][one.error_class] += one.calls
        by_both[one.tool, one.version][one.error_class] += one.calls
    past = defaultdict[str, list[CallCount]](list)
    for one in before:
        past[one.tool].append(one)
    for tool, ended in sorted(by_tool.items()):
        calls, errors, bar = ended.total(), ended[UNKNOWN], settings.unknown_bar
        if calls >= settings.least_calls:
            chance = binomial_tail(errors, calls, bar) if errors > bar * calls else 1.0
            yield Tested(tool, "", UNKNOWN, calls, errors, bar, chance)
    for (tool, version), ended in sorted(by_both.items()):
        if ended.total() < settings.least_calls:
            continue
        for error_class in WATCHED:
            calls, errors = ended.total(), ended[error_class]
            usual = _usual(past[tool], known, tool, error_class, settings.window_seconds)
            was = _baseline(usual, version, error_class, settings.least_calls)
            if was is not None:
                more = errors > LEAST_RATIO * was.rate * calls
                chance = spike_tail(errors, calls, was) if more else 1.0
                yield Tested(tool, version, error_class, calls, errors, was.rate, chance)


def _usual(
    past: Iterable[CallCount],
    known: Sequence[ToolAnomaly],
    tool: str,
    error_class: str,
    seconds: float,
) -> list[CallCount]:
    """Return a tool's past without the first days of its anomalies of a class."""
    bad = [
        (one.began - 2 * seconds, min(one.ended or one.began + DAY, one.began + DAY))
        for one in known
        if (one.tool, one.error_class) == (tool, error_class)
    ]
    return [one for one in past if not any(begins < one.began < ends for begins, ends in bad)]


def _baseline(
    usual: Sequence[CallCount], version: str, error_class: str, least_calls: int
) -> Baseline | None:
    """Return how often this failed before; None where there is no past to tell by."""
    for counts in ([one for one in usual if one.version == version], usual):
        windows = defaultdict[int, list[int]](lambda: [0, 0])
        for one in counts:
            windows[one.began][0] += one.calls
            windows[one.began][1] += one.calls * (one.error_class == error_class)
        found = baseline_of([(calls, errors) for calls, errors in windows.values()])
        if found.calls >= least_calls:
            return found
    return None
