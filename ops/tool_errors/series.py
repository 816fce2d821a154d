"""Series: the calls of one tool, held against the bar, or against how they ended before."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..rates.spike import binomial_tail, spike_tail
from .blame import UNKNOWN, WATCHED
from .calls_table import CallCount, ToolAnomaly
from .past import Ended, ToolPast
from .settings import ToolErrorSettings

DAY = 86_400.0
LEAST_RATIO = 2.0
"""A spike is at least so many times its past rate: with many calls 3 % is clearly more than 2.5 %,
and nothing to be woken for."""


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

    @property
    def key(self) -> tuple[str, str, str]:
        """As an anomaly's."""
        return self.tool, self.version, self.error_class


def tested(
    now: Iterable[CallCount],
    before: ToolPast,
    known: Sequence[ToolAnomaly],
    settings: ToolErrorSettings,
) -> Iterator[Tested]:
    """Yield every series with calls enough and failures, and each of an anomaly that goes on.

    Who stops calling what fails has few calls: that alone ends no anomaly.

    The unknown failures of a tool are held against the bar; each other class of a tool and a version
    against that version's past, or, where it has too little, the tool's with any version. What
    failed in an anomaly's first day is nobody's past: after it that is how things are.
    """
    going_on = {one.key for one in known if one.ended is None}
    by_tool, by_both = (
        defaultdict[str, Ended](Counter),
        defaultdict[tuple[str, str], Ended](Counter),
    )
    for one in now:
        by_tool[one.tool][one.error_class] += one.calls
        by_both[one.tool, one.version][one.error_class] += one.calls
    for tool, ended in sorted(by_tool.items()):
        calls, errors, bar = ended.total(), ended[UNKNOWN], settings.unknown_bar
        if calls >= settings.least_calls or (tool, "", UNKNOWN) in going_on:
            chance = binomial_tail(errors, calls, bar) if errors > bar * calls else 1.0
            yield Tested(tool, "", UNKNOWN, calls, errors, bar, chance)
    for (tool, version), ended in sorted(by_both.items()):
        calls = ended.total()
        for error_class in WATCHED:
            if calls < settings.least_calls and (tool, version, error_class) not in going_on:
                continue
            errors = ended[error_class]
            if not errors:
                continue  # No spike, whatever was before.
            usual = _left_out(known, tool, error_class, settings.window_seconds)
            was = before.baseline(tool, version, error_class, usual, settings.least_calls)
            if was is not None:
                more = errors > LEAST_RATIO * was.rate * calls
                chance = spike_tail(errors, calls, was) if more else 1.0
                yield Tested(tool, version, error_class, calls, errors, was.rate, chance)


def _left_out(
    known: Iterable[ToolAnomaly], tool: str, error_class: str, seconds: float
) -> Callable[[int], bool]:
    """Return whether a stretch of time is of the first day of an anomaly of a tool and a class."""
    bad = [
        (one.began - 2 * seconds, min(one.ended or one.began + DAY, one.began + DAY))
        for one in known
        if (one.tool, one.error_class) == (tool, error_class)
    ]
    return lambda at: any(begins < at < ends for begins, ends in bad)
