"""InstalledValue: a part or cost of an installed distribution, asked so that its faults harm nothing else.

Raised to the loop, one answer that it cannot take would end the daemon again after each start, and
nobody's feedback would be taken in any more.
"""

import math
import time
from collections.abc import Callable, Iterable
from numbers import Real

from ...streams.events.episode import Episode
from ...streams.exception_text import exception_said, may_quote
from ...streams.extensions import Extension

SLOW_SECONDS = 0.01
"""Mean time of a call above which it is told to hold the loop up."""
CALLS = 20
"""Calls that the mean is over, by weight, and below which nothing is said of it."""
TOLD_SECONDS = 3600.0
"""For so long after the last failure it is told."""


class InstalledValue:
    """What an installed function says of an episode; None where it fails, and `problem` names it."""

    def __init__(
        self,
        key: str,
        installed: Extension,
        function: Callable[[Episode], object],
        most: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask a function for a number in [0, `most`]; `key` is where the spec names it."""
        self.key, self.installed, self.function, self.most = key, installed, function, most
        self.clock = clock
        self.failed = 0
        """Answers of which it said nothing that could be meant."""
        self._calls, self._mean = 0, 0.0
        self._last, self._failed_at = "", -math.inf

    def __call__(self, episode: Episode) -> float | None:
        """Return its value; None where it has none, or raises, or says what is no such value."""
        began = self.clock()
        try:
            value = self.function(episode)
        # Code of another distribution runs here, and may raise anything.
        except Exception as problem:  # noqa: BLE001  above: the other parts go on
            told = exception_said(problem) if may_quote(problem) else repr(problem)
            self._note(f"raised {told}"[:300], episode)
            return None
        finally:
            self._count(self.clock() - began)
        if value is None:
            return None
        number = float(value) if isinstance(value, Real) else math.nan
        if 0.0 <= number <= self.most and math.isfinite(number):
            return number
        within = "in [0, 1]" if self.most == 1.0 else "a finite number of at least 0"
        self._note(f"returned {value!r}"[:300] + f", which is not {within}", episode)
        return None

    @property
    def problem(self) -> str | None:
        """What is wrong with it, in words; None where nothing was for a while."""
        who = f"{self.key}: {self.installed.distribution}"
        if self.failed and self.clock() - self._failed_at < TOLD_SECONDS:
            return (
                f"{who} {self._last}; of {self.failed} answers since the start it says nothing,"
                " and their rewards are without it"
            )
        if self._calls >= CALLS and self._mean > SLOW_SECONDS:
            taken = f"{1000 * self._mean:,.0f} ms"
            return f"{who} takes {taken} an answer, and taking in waits for it"
        return None

    def _count(self, seconds: float) -> None:
        self._calls += 1
        self._mean += (seconds - self._mean) / min(self._calls, CALLS)

    def _note(self, why: str, episode: Episode) -> None:
        self.failed += 1
        self._last, self._failed_at = f"{why} on {episode.id}", self.clock()


def problem_of(values: Iterable[object]) -> str | None:
    """Return what is wrong with those of them that are installed, each named; None where nothing is."""
    told = [one.problem for one in values if isinstance(one, InstalledValue)]
    return "; ".join(one for one in told if one) or None
