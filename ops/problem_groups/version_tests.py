"""Version tests: whether a group comes with a version, by the people whom it happened to.

The unit is the person: what happens to one of them many times happened once, so a few people with a broken
set-up blame no version. Both sides are counted over the same number of days.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...rewards.behaviours.phrases import fisher_tail
from ..rates.rises import matters
from .problem_group import PeopleSeen, ProblemGroup

LEAST_PEOPLE = 20
"""People of each side from which on anything is said."""


class VersionTest(NamedTuple):
    """One version held against another, or against several."""

    version: str
    """The version."""
    people: int
    """People it happened to."""
    of_people: int
    """Of so many."""
    against: str
    """What it is held against, in words."""
    against_people: int
    """People it happened to there."""
    against_of_people: int
    """Of so many."""
    tail: float
    """Probability of so much more if the versions are alike (Fisher's exact test, one-sided)."""


def version_tests(
    group: ProblemGroup, seen: PeopleSeen, since_day: int, controls: Mapping[str, str]
) -> Iterator[VersionTest]:
    """Yield what is shown of each version whose people it happened to since then.

    A version is held against its control on the same days, where `controls` names one, else against all
    others on these days, and where nobody had another, against what people had before.
    """
    window = ~((1 << (since_day - seen.first_day)) - 1)
    units = {version: days for (unit, version), days in seen.trials.items() if unit == group.people}
    for version in sorted(units):
        hit = seen.hits.get((group.fingerprint, version), {})
        if not _people(hit, window):
            continue
        days = _days(units[version]) & window
        others = sorted(units.keys() - {version})
        named = [controls[version]] if controls.get(version) in others else []
        for against, said in ((named, "its control"), (others, "on the same days")):
            found = _test(group, seen, version, against, days, days, said)
            if found is not None:
                break
        else:
            earlier = _days_before(units, others, days)
            found = _test(group, seen, version, others, days, earlier, "before")
        if found is not None:
            yield found


def _test(
    group: ProblemGroup,
    seen: PeopleSeen,
    version: str,
    against: list[str],
    days: int,
    their_days: int,
    said: str,
) -> VersionTest | None:
    """Return the test; None where either side has too few people."""
    of = _people(seen.trials[group.people, version], days)
    hits = _people(seen.hits.get((group.fingerprint, version), {}), days)
    theirs, their_hits = set[str](), set[str]()
    for other in against:
        theirs |= _who(seen.trials[group.people, other], their_days)
        their_hits |= _who(seen.hits.get((group.fingerprint, other), {}), their_days)
    if min(of, len(theirs)) < LEAST_PEOPLE:
        return None
    rate = len(their_hits) / len(theirs)
    shown = hits and matters(hits, of, rate)
    tail = fisher_tail(hits, of, len(their_hits), len(theirs)) if shown else 1.0
    names = ", ".join(one or "not said" for one in against[:3])
    more = f" and {len(against) - 3} more" if len(against) > 3 else ""
    return VersionTest(
        *(version, hits, of, f"{names}{more}, {said}"),
        *(len(their_hits), len(theirs), min(1.0, tail)),
    )


def _days_before(units: Mapping[str, Mapping[str, int]], others: list[str], days: int) -> int:
    """Return as many of the latest days before as there are, on which others answered."""
    theirs = 0
    for other in others:
        theirs |= _days(units[other])
    first = (days & -days).bit_length() - 1
    theirs &= (1 << max(0, first)) - 1
    while theirs.bit_count() > days.bit_count():
        theirs &= theirs - 1
    return theirs


def _days(people: Mapping[str, int]) -> int:
    """Return the days on which anybody is noted."""
    found = 0
    for days in people.values():
        found |= days
    return found


def _who(people: Mapping[str, int], days: int) -> set[str]:
    return {person for person, seen in people.items() if seen & days}


def _people(people: Mapping[str, int], days: int) -> int:
    return sum(1 for seen in people.values() if seen & days)
