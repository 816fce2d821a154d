"""People seen: whose trials and hits they were, by version and day."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BITS = 16
"""Bits of one day's count: of a person at most 65,535 a day are counted."""
MOST = (1 << BITS) - 1

PersonCounts = Mapping[str, int]
"""By person, the counts of all days in one number."""


@dataclass(slots=True)
class PeopleSeen:
    """Counts by version and person, a few bytes for each day from `first_day` on."""

    first_day: int
    """The first day; nothing is noted of days before."""
    trials: dict[tuple[str, str], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    """By unit and version."""
    hits: dict[tuple[str, str], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    """By fingerprint and version."""

    def note(
        self, day: int, person: str, version: str, units: Sequence[str], groups: Sequence[str]
    ) -> None:
        """Note one trial of these units, and the groups that it is a hit of."""
        if day < self.first_day or not person:
            return
        at = (day - self.first_day) * BITS
        for unit in units:
            _add(self.trials[unit, version], person, at)
        for group in groups:
            _add(self.hits[group, version], person, at)

    def days_of(self, counts: PersonCounts) -> frozenset[int]:
        """Return the days on which anybody is counted."""
        every = 0
        for found in counts.values():
            every |= found
        days = range(0, every.bit_length(), BITS)
        return frozenset(self.first_day + at // BITS for at in days if every >> at & MOST)

    def on(self, counts: PersonCounts, days: frozenset[int]) -> dict[str, int]:
        """Return who is counted on these days, and how often."""
        places = [(day - self.first_day) * BITS for day in days]
        sums = (
            (person, sum(found >> at & MOST for at in places)) for person, found in counts.items()
        )
        return {person: count for person, count in sums if count}


def _add(counts: dict[str, int], person: str, at: int) -> None:
    if counts[person] >> at & MOST < MOST:
        counts[person] += 1 << at
