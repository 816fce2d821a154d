"""Worth: what an answer is worth that somebody took, by the settings and by what can be measured."""

from typing import Literal

import msgspec

from .figures import quantile, share
from .settings import ProfileSettings
from .tally import SegmentTally

SECONDS_SAVED = "seconds_saved"
"""The number of a product's own that says how much time of a person an answer saved."""
MEASURED_AT_LEAST = 30
"""Answers with that number from which on their mean counts."""
By = Literal["setting", "seconds_saved", "segments", "unknown"]


class ValueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What answers are worth. Money is in `profile.currency`."""

    taken: int
    """Answers that somebody took (a reward of a half or more), each act once, as recorded."""
    taken_share: float | None
    """Of the decided ones."""
    of_answer: float | None
    """Worth of an answer that somebody took; None where nothing says so."""
    by: By
    """By what that is known; of all segments together it is the mean of theirs."""
    of_session: float | None
    """Worth of a session: of the answers taken in it."""
    tokens_answer: float | None
    """Tokens written, an answer."""
    tokens_read: float | None
    """Tokens read, an answer."""
    edited: float | None
    """Share of the decided answers that somebody edited."""
    left_by_edits: float | None
    """How much of an edited answer was left, on average, by the reward's part."""
    kept: float | None
    """How much of an answer was kept at the last measurement, on average."""
    person_seconds: float | None
    """Median time from an answer to a person's first act, of acts within 15 minutes."""
    person_hours_week: float
    """Sum of these times, hours a week."""
    numbers: dict[str, float]
    """Means of the product's own numbers."""


def value_of(
    tally: SegmentTally, settings: ProfileSettings, worth: float | None, weeks: float
) -> ValueFacts:
    """Return the value of a tally; `worth` is a setting's, and `weeks` how long was seen."""
    counted = tally.answers - tally.uncounted
    numbers = {name: total / count for name, (count, total) in sorted(tally.numbers.items())}
    of_answer, by = _worth(tally, settings, worth)
    per_session = share(tally.taken, len(tally.sessions))
    known = of_answer is not None and per_session is not None
    return ValueFacts(
        taken=tally.taken,
        taken_share=share(tally.taken, tally.decided),
        of_answer=of_answer,
        by=by,
        of_session=(of_answer or 0.0) * (per_session or 0.0) if known else None,
        tokens_answer=share(tally.written, counted),
        tokens_read=share(tally.read, counted),
        edited=share(tally.edits, tally.decided),
        left_by_edits=share(tally.left, tally.edits),
        kept=share(tally.kept, tally.keeps),
        person_seconds=quantile(tally.pauses, 0.5),
        person_hours_week=sum(tally.pauses) / 3600 / max(weeks, 1 / 7) / settings.recorded,
        numbers=numbers,
    )


def _worth(
    tally: SegmentTally, settings: ProfileSettings, worth: float | None
) -> tuple[float | None, By]:
    if worth is not None:
        return worth, "setting"
    count, total = tally.numbers.get(SECONDS_SAVED, (0.0, 0.0))
    if settings.person_hour is not None and count >= MEASURED_AT_LEAST:
        return total / count / 3600 * settings.person_hour, "seconds_saved"
    return None, "unknown"
