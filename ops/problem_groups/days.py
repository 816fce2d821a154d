"""Days: which days a report looks at, and which before it holds them against; UTC."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from .problem_group import DAY

WEEK = 7
_MONDAY = 4
"""The fifth of January 1970, a Monday, is day 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDays:
    """Days as numbers since 1970."""

    since: int
    """First day that is looked at."""
    until: int
    """First day that is not any more."""
    before_days: int
    """Days before `since` that it is held against."""

    @property
    def window(self) -> range:
        """The days that are looked at."""
        return range(self.since, self.until)

    @property
    def before(self) -> range:
        """The days before."""
        return range(self.since - self.before_days, self.since)

    @property
    def stretches(self) -> Iterator[range]:
        """The window, and then what is before in stretches as long as it, the newest first."""
        length = self.until - self.since
        for end in range(self.until, self.before.start, -length):
            yield range(max(self.before.start, end - length), end)


def day_of(at: float) -> int:
    """Return the day of a moment in epoch seconds."""
    return int(at // DAY)


def named_day(day: int) -> str:
    """Return a day as ISO 8601 writes it.

    >>> named_day(0), named_day(20_783)
    ('1970-01-01', '2026-11-26')
    """
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def day_named(text: str) -> int:
    """Return the day that a text names; raises ValueError where it names none.

    >>> day_named("2026-11-26")
    20783
    """
    try:
        return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days
    except ValueError:
        raise ValueError(f"{text!r} is no day: write it as 2026-11-26") from None


def last_monday(day: int) -> int:
    """Return the Monday that a day's week began on.

    >>> named_day(last_monday(day_named("2026-11-26"))), last_monday(4), last_monday(10)
    ('2026-11-23', 4, 4)
    """
    return day - (day - _MONDAY) % WEEK
