"""Tallies: what the tables count of all time, for metrics and mirror."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...learner.ledger.weighed import weighed_counts
from ...streams.answers.answer_tallies import AnswerTallies, answer_tallies
from ...streams.join import offsets
from ...streams.state.transaction import Transaction
from .answer_metrics import answer_values, intake_values
from .series import Shown

MOST_OFTEN = 49.0
"""Pause after a pass over all answers, in times what it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """What the tables count; the same whichever process asks."""

    records: offsets.Counts
    """What became of all records."""
    answers: AnswerTallies
    """Generations by how they ended, and what they earned lately."""
    weighed: dict[str, tuple[int, int]]
    """By factor, sealed answers that it changed, and those that it weighed down."""
    watermark: float
    """Receive time that every partition was read past; 0 where one never was."""

    def shown(self) -> Shown:
        """Return their series."""
        return {
            **intake_values(self.records, self.answers.late, self.weighed, self.watermark),
            **answer_values(self.answers),
        }


class Counting:
    """Counts for one process, and the answers, which takes a while where there are many, not too often.

    The pass over all of them takes a fiftieth of the time at most: after one that took a second the
    next is in 50 seconds, and what it counted is shown until then.
    """

    def __init__(self, policy: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.policy, self.clock = policy, clock
        self._answers: AnswerTallies | None = None
        self._again = 0.0

    def tallies(self, view: Transaction, now: float) -> Tallies:
        """Count once for all who show it; `now` in epoch seconds."""
        began = self.clock()
        if self._answers is None or began >= self._again:
            self._answers = answer_tallies(view, self.policy, now)
            ended = self.clock()
            self._again = ended + MOST_OFTEN * (ended - began)
        return tallies(view, self.policy, self._answers)


def tallies(view: Transaction, policy: str, answers: AnswerTallies) -> Tallies:
    """Return what the tables count beside the answers."""
    records = offsets.Counts()
    for counts in offsets.record_counts(view, policy).values():
        records.add(counts)
    return Tallies(
        records=records,
        answers=answers,
        weighed=weighed_counts(view, policy),
        watermark=offsets.watermark(view, policy),
    )
