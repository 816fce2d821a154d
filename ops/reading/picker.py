"""Picker: picks what is to be read next among the unread rows of one kind.

What was not tried yet comes before what was, and then the oldest: texts that a reader fails on keep
none from being read once.
"""

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from ...streams.readings.unread import UnreadRow, unread
from ...streams.state.store import Store
from .outcomes import Outcomes
from .to_read import ToRead, sort_unread

AT_ONCE = 200
"""Texts picked in one go."""
LOOKED_AT = 2_000
"""Rows among which they are found."""
AGAIN_SECONDS = 60.0
"""After so long without its record coming back a text is read and written again; each time twice as long."""


class Tried(NamedTuple):
    """How often a row was picked."""

    times: int
    """So often;"""
    again: float
    """not before then again."""


UNTRIED = Tried(0, -math.inf)


class Picker:
    """The messages that people wrote, or the answers that rubrics mark: neither waits for the other."""

    def __init__(
        self,
        store: Store,
        policy: str,
        outcomes: Outcomes,
        *,
        rubrics: bool,
        give_up_seconds: float,
    ) -> None:
        self.store, self.policy, self.outcomes = store, policy, outcomes
        self.rubrics, self.give_up_seconds = rubrics, give_up_seconds
        self._tried: dict[UnreadRow, Tried] = {}

    def pick(
        self,
        now: float,
        most: int = AT_ONCE,
        *,
        busy: Collection[UnreadRow] = (),
        reads: Callable[[UnreadRow], bool] = lambda row: True,
    ) -> list[ToRead]:
        """Return at most so many texts, none of them busy, and give up what cannot be read.

        What nobody `reads` any more is given up as `no_reader`.
        """
        with self.store.reading() as view:
            limit = LOOKED_AT + len(self._tried) + len(busy)
            rows = unread(view, self.policy, limit, rubrics=self.rubrics)
            known = set(rows)
            self._tried = {row: at for row, at in self._tried.items() if row in known}
            rows = [row for row in rows if row not in busy and self._of(row).again <= now]
            left = [row for row in rows if reads(row)]
            late = [row for row in left if now - row.noted > self.give_up_seconds]
            # As it is stable, the oldest of those that were tried as often come first.
            next_ones = sorted(left[len(late) :], key=lambda row: self._of(row).times)
            found = sort_unread(view, self.policy, next_ones[:most])
        self.give_up([row for row in rows if not reads(row)], "no_reader", now)
        self.give_up(late, "too_late", now)
        for row, why in found.refused:
            self.give_up([row], why, now)
        return found.texts

    def give_up(self, rows: list[UnreadRow], why: str, now: float) -> None:
        """Let rows go; until the loop has taken them away they are not picked."""
        self.outcomes.give_up(rows, why)
        self.tried(rows, now)

    def tried(self, rows: Collection[UnreadRow], now: float) -> None:
        """Keep these rows from being picked for a while: their records are under way, or failed."""
        for row in rows:
            times = self._of(row).times
            self._tried[row] = Tried(times + 1, now + AGAIN_SECONDS * 2.0 ** min(times, 20))

    def _of(self, row: UnreadRow) -> Tried:
        return self._tried.get(row, UNTRIED)
