"""Cells: which users a flag document does not tell apart, so that one answer of the flag holds for all.

Its rules compare numbers of the context with constants and do nothing else: whatever else a document
says is refused when it is read (`flag_state.to_state`). So two users whose numbers have the same place
among the constants get the same.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

Cell = tuple[tuple[int, int], ...]


class Cells:
    """The places among one document's constants.

    >>> cells = Cells({"if": [{"<=": [0, {"var": ["bucket", -1]}, 499]}, "candidate", "champion"]})
    >>> [cells.of([number]) for number in (1, 498, 499, 500)]
    [((2, 2),), ((2, 2),), ((2, 3),), ((3, 3),)]
    """

    def __init__(self, rules: Any) -> None:
        self._constants = sorted(set(_integers(rules)))

    def of(self, numbers: Iterable[int]) -> Cell:
        """Return where each number stands: after how many constants, and up to how many."""
        return tuple(
            (bisect_left(self._constants, one), bisect_right(self._constants, one))
            for one in numbers
        )


def _integers(rules: Any) -> Iterator[int]:
    if isinstance(rules, int):
        yield rules
    elif isinstance(rules, dict):
        for one in rules.values():
            yield from _integers(one)
    elif isinstance(rules, list):
        for one in rules:
            yield from _integers(one)
