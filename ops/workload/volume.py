"""Volume: how many answers, sessions and people come, and whether they become more."""

import msgspec

from ...streams.answers.observed import EarlierCount
from .figures import growth, share
from .tally import SeenTime, SegmentTally

LEAST_DAYS = 2.0
"""Days below which nothing is said of a week."""


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How much work there is. Rates are of all users, where only a share of them is recorded."""

    answers: int
    """Answers that were counted, as recorded."""
    answers_day: float
    """A day."""
    answers_week: float
    """A week."""
    sessions_day: float
    """Sessions that began, a day."""
    sessions_week: float
    """A week."""
    users: int
    """People whom the product named, as recorded."""
    users_day: float
    """People a day."""
    users_week: float
    """People in a week: of less than one, those who came."""
    tokens_week: float
    """Tokens written, a week."""
    growth_answers: float | None
    """This time over one as long before it, less 1; None where that was not seen whole."""
    growth_users: float | None
    """Likewise, of people."""
    side_requests: int
    """What harnesses asked for on their own; it is in no other figure."""
    unnamed: float | None
    """Share of the answers to nobody whom the product named."""
    kept_out: dict[str, int]
    """Answers that were excluded from training, by fate."""


def volume_of(
    tally: SegmentTally, seen: SeenTime, recorded: float, before: EarlierCount | None
) -> VolumeFacts:
    """Return the volume of a tally; `recorded` is the share of the users who are in it.

    `before` is what a time as long had before this one, None where that is not known.
    """
    days = max(seen.days, 1.0)
    masks = [person.days for person in tally.people.values()]
    per_day = 1 / days / recorded
    return VolumeFacts(
        answers=tally.answers,
        answers_day=tally.answers * per_day,
        answers_week=tally.answers * per_day * 7,
        sessions_day=len(tally.sessions) * per_day,
        sessions_week=len(tally.sessions) * per_day * 7,
        users=len(masks),
        users_day=sum(mask.bit_count() for mask in masks) * per_day,
        users_week=_a_week(masks, days) / recorded,
        tokens_week=tally.written * per_day * 7,
        growth_answers=None if before is None else growth(before.answers, tally.answers),
        growth_users=None if before is None else growth(before.users, len(masks)),
        side_requests=tally.side,
        unnamed=share(tally.unnamed, tally.answers),
        kept_out=dict(sorted(tally.kept_out.items())),
    )


def _a_week(masks: list[int], days: float) -> float:
    """Return how many people come in a week, on average over the whole weeks seen; of less, all."""
    weeks = int(days / 7)
    if days <= 7:
        return float(len(masks))
    week = (1 << 7) - 1
    return sum(bool(mask >> 7 * one & week) for mask in masks for one in range(weeks)) / weeks
