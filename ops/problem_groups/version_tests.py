"""Version tests: whether a group comes with a version, by the people whom it happened to.

The unit is the person: what happens to one of them many times happened once, so a few people with a broken
set-up blame no version. Two tests have to agree: that more of the people were hit (Fisher's, exact, however
few they are), and that a greater share of what people tried was a hit (the ratio of means with its variance
between people if nothing differs, which does not mind that one side had more time).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...rewards.behaviours.phrases import fisher_tail
from ..rates.rises import matters
from .people_seen import PeopleSeen
from .problem_group import ProblemGroup

LEAST_PEOPLE = 20
"""People of each side from which on anything is said."""
HIT_ANYWAY = 0.5
"""Where more of the other side's people were hit, that some of ours were says little, and there are enough
of them for the share of hits alone."""


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
    """Probability of so much more if the versions are alike, the greater one of the two tests'."""


class _Side(NamedTuple):
    people: int
    """Who tried."""
    hit: int
    """Who was hit."""
    trials: int
    """What they tried."""
    hits: int
    """What of it was a hit."""
    squares: tuple[float, float, float]
    """Sums over people: hits squared, hits times trials, trials squared."""

    def variance(self, rate: float) -> float:
        """Return that of the share of hits between people, were this the share."""
        hits, both, trials = self.squares
        spread = max(0.0, hits - 2.0 * rate * both + rate * rate * trials)
        return spread / self.trials**2 * self.people / (self.people - 1)


def version_tests(
    group: ProblemGroup, seen: PeopleSeen, since_day: int, controls: Mapping[str, str]
) -> Iterator[VersionTest]:
    """Yield what is shown of each version whose people it happened to since then.

    A version is held against its control on the days that both served, where `controls` names one, else
    against all others on such days, and where there is none, against as many of the days before.
    """
    units = {
        version: counts for (unit, version), counts in seen.trials.items() if unit == group.people
    }
    served = {version: seen.days_of(counts) for version, counts in units.items()}
    for version in sorted(units):
        days = frozenset(day for day in served[version] if day >= since_day)
        hit = seen.hits.get((group.fingerprint, version), {})
        if not days or not seen.on(hit, days):
            continue
        others = sorted(units.keys() - {version})
        named = [controls[version]] if controls.get(version) in others else []
        for against, said in ((named, "its control"), (others, "on the same days")):
            theirs = frozenset().union(*(served[other] for other in against))
            both = days & theirs
            found = _test(group, seen, version, against, both, both, said)
            if found is not None:
                break
        else:
            every = frozenset().union(*(served[other] for other in others))
            before = sorted(day for day in every if day < min(days))[-len(days) :]
            found = _test(group, seen, version, others, days, frozenset(before), "before")
        if found is not None:
            yield found


def _test(
    group: ProblemGroup,
    seen: PeopleSeen,
    version: str,
    against: Sequence[str],
    days: frozenset[int],
    their_days: frozenset[int],
    said: str,
) -> VersionTest | None:
    """Return the test; None where either side has too few people."""
    ours = _side(group, seen, [version], days)
    theirs = _side(group, seen, against, their_days)
    if min(ours.people, theirs.people) < LEAST_PEOPLE:
        return None
    names = ", ".join(one or "not said" for one in against[:3])
    more = f" and {len(against) - 3} more" if len(against) > 3 else ""
    return VersionTest(
        *(version, ours.hit, ours.people, f"{names}{more}, {said}"),
        *(theirs.hit, theirs.people, _tail(ours, theirs)),
    )


def _side(
    group: ProblemGroup, seen: PeopleSeen, versions: Sequence[str], days: frozenset[int]
) -> _Side:
    tried, hit = dict[str, int](), dict[str, int]()
    for version in versions:
        for total, counts in (
            (tried, seen.trials.get((group.people, version), {})),
            (hit, seen.hits.get((group.fingerprint, version), {})),
        ):
            for person, count in seen.on(counts, days).items():
                total[person] = total.get(person, 0) + count
    pairs = [(hit.get(person, 0), of) for person, of in tried.items()]
    sums = [sum(each) for each in zip(*((k * k, k * n, n * n) for k, n in pairs), strict=True)]
    hits_squared, both, trials_squared = sums or (0, 0, 0)
    return _Side(
        *(len(tried), len(hit), sum(tried.values()), sum(hit.values())),
        (float(hits_squared), float(both), float(trials_squared)),
    )


def _tail(ours: _Side, theirs: _Side) -> float:
    """Return the greater tail of both tests; 1 where the difference does not matter."""
    before, rate = theirs.hits / theirs.trials, ours.hits / ours.trials
    if not matters(ours.hits, ours.trials, before):
        return 1.0
    alike = (ours.hits + theirs.hits) / (ours.trials + theirs.trials)
    error = math.sqrt(ours.variance(alike) + theirs.variance(alike))
    ratio = 0.5 * math.erfc((rate - before) / error / math.sqrt(2.0)) if error else 0.0
    if theirs.hit > HIT_ANYWAY * theirs.people:
        return ratio
    return max(ratio, min(1.0, fisher_tail(ours.hit, ours.people, theirs.hit, theirs.people)))
