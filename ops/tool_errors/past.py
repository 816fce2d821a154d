"""Past: how the calls of each tool ended before the window that is looked at, by version and time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..rates.spike import Baseline, baseline_of
from .calls_table import CallCount

Ended = Counter[str]
"""Calls by how they ended."""


class _Stretch(NamedTuple):
    """One version's calls of a tool in one stretch of time."""

    began: int
    calls: int
    ended: Ended


class ToolPast:
    """Read once for all series of a look, and for all looks until the window moves on."""

    def __init__(self, counts: Iterable[CallCount]) -> None:
        """`counts` are of stretches as long as the window."""
        ended = defaultdict[tuple[str, str, int], Ended](Counter)
        for one in counts:
            ended[one.tool, one.version, one.began][one.error_class] += one.calls
        self._by_tool = defaultdict[str, dict[str, list[_Stretch]]](lambda: defaultdict(list))
        for (tool, version, began), found in ended.items():
            self._by_tool[tool][version].append(_Stretch(began, found.total(), found))

    def baseline(
        self,
        tool: str,
        version: str,
        error_class: str,
        left_out: Callable[[int], bool],
        least_calls: int,
    ) -> Baseline | None:
        """Return how often calls of a version failed so; of any version where it made too few.

        None where those are too few, too: there is no past to tell by. Stretches whose begin is left
        out are nobody's past.
        """
        versions = self._by_tool.get(tool, {})
        for one in ([versions.get(version, [])], versions.values()):
            windows = defaultdict[int, list[int]](lambda: [0, 0])
            for stretches in one:
                for began, calls, ended in stretches:
                    windows[began][0] += calls
                    windows[began][1] += ended[error_class]
            found = baseline_of([(n, k) for at, (n, k) in windows.items() if not left_out(at)])
            if found.calls >= least_calls:
                return found
        return None
