"""Judge groups: which problems are new, spike, go on or are gone, and which versions explain them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..rates.rises import LEAST_WINDOWS, discoveries, gone_tail, rise_tail
from .days import SeenDays, named_day
from .judged_group import JudgedGroup, State, VersionRate, WeekCount
from .problem_group import EVIDENCE, CountedProblems, ProblemGroup
from .version_tests import VersionTest, version_tests


class KnownGroup(NamedTuple):
    """What is remembered of a group from earlier reports."""

    first_day: int
    """First day on which it was seen."""
    last_day: int
    """Last one."""


class _Totals:
    """What was counted, added up in the ways in which groups ask for it."""

    def __init__(self, counted: CountedProblems, days: SeenDays) -> None:
        self.trials = defaultdict[str, Counter[int]](Counter)
        self.by_version = defaultdict[str, Counter[str]](Counter)
        for (unit, version, day), count in counted.trials.items():
            self.trials[unit][day] += count
            if day in days.window:
                self.by_version[unit][version] += count
        self.hits = defaultdict[str, Counter[int]](Counter)
        self.versions = defaultdict[str, Counter[str]](Counter)
        for (group, version), count in counted.shared.items():
            self.versions[group][version] = count
        shared = {group for group, _ in counted.shared}
        for (group, version, day), count in counted.hits.items():
            self.hits[group][day] += count
            if day in days.window and group not in shared:
                self.versions[group][version] += count
        self.evidence = defaultdict[str, list[tuple[str, float, str]]](list)
        for (group, version), shown in counted.evidence.items():
            self.evidence[group] += [(version, at, name) for at, name in shown]


class _Weighed(NamedTuple):
    group: ProblemGroup
    now: list[tuple[int, int]]
    before: list[tuple[int, int]]
    tests: list[VersionTest]
    first_day: int
    last_day: int

    @property
    def hits(self) -> int:
        return sum(hits for _, hits in self.now)

    @property
    def was_seen(self) -> bool:
        return any(hits for _, hits in self.before)


def judge_groups(
    counted: CountedProblems,
    days: SeenDays,
    known: Mapping[str, KnownGroup],
    controls: Mapping[str, str],
    *,
    false_share: float,
) -> list[JudgedGroup]:
    """Return every group that was seen in these days or before, those that happened most first.

    Of all that is said to spike, or to come with a version, at most `false_share` is so by chance, on
    average; of what is said to be gone likewise.
    """
    totals = _Totals(counted, days)
    every = {
        name: _weigh(group, counted, totals, days, known, controls)
        for name, group in counted.groups.items()
    }
    weighed = {name: one for name, one in every.items() if one.hits or one.was_seen}
    rises, ends = dict[tuple[str, str], float](), dict[str, float]()
    for name, one in weighed.items():
        if one.hits:
            rises[name, ""] = rise_tail(one.now, one.before)
            rises.update({(name, f"of {test.version}"): test.tail for test in one.tests})
        else:
            ends[name] = gone_tail(one.now, one.before)
    risen, gone = discoveries(rises, false_share), discoveries(ends, false_share)
    found = []
    for name, one in weighed.items():
        blamed = {test.version for test in one.tests if (name, f"of {test.version}") in risen}
        spikes = (name, "") in risen or bool(blamed)
        state = _state(
            one,
            spikes=spikes,
            gone=name in gone,
            known=name in known and known[name].first_day < days.since,
        )
        tail = rises.get((name, ""), ends.get(name, 1.0))
        found.append(_judged(counted, totals, days, one, state, tail, blamed))
    return sorted(found, key=lambda one: (-one.hits, one.group.source, one.group.name))


def _state(one: _Weighed, *, spikes: bool, gone: bool, known: bool) -> State:
    if not one.hits:
        return "gone" if gone or not one.group.unit else "steady"
    # What happens at some rate anyway is new on its first day, and no problem for that.
    if not one.was_seen and not known and not one.group.is_rate:
        return "new"
    return "spiking" if spikes else "steady"


def _weigh(
    group: ProblemGroup,
    counted: CountedProblems,
    totals: _Totals,
    days: SeenDays,
    known: Mapping[str, KnownGroup],
    controls: Mapping[str, str],
) -> _Weighed:
    name = group.fingerprint
    of, hits, was = totals.trials[group.unit], totals.hits[name], known.get(name)
    seen = [day for day, count in hits.items() if count and day < days.until]
    tests = version_tests(group, counted.people, days.since, controls) if group.people else ()
    return _Weighed(
        group=group,
        now=[(of[day], hits[day]) for day in days.window],
        before=[(of[day], hits[day]) for day in days.before],
        tests=list(tests),
        first_day=min([*seen, *([was.first_day] if was else [])], default=days.since),
        last_day=max([*seen, *([was.last_day] if was else [])], default=days.since),
    )


def _judged(
    counted: CountedProblems,
    totals: _Totals,
    days: SeenDays,
    one: _Weighed,
    state: State,
    tail: float,
    blamed: set[str],
) -> JudgedGroup:
    name = one.group.fingerprint
    of, hits = totals.trials[one.group.unit], totals.hits[name]
    before = [(n, k) for n, k in one.before if n]
    total = sum(n for n, _ in before)
    return JudgedGroup(
        fingerprint=name,
        group=one.group,
        state=state,
        hits=one.hits,
        trials=sum(n for n, _ in one.now),
        rate_before=sum(k for _, k in before) / total if total else None,
        tail=float(f"{tail:.3g}"),
        no_past=len(before) < LEAST_WINDOWS,
        first_seen=named_day(one.first_day),
        last_seen=named_day(one.last_day),
        weeks=tuple(
            WeekCount(
                since=named_day(stretch.start),
                hits=sum(hits[day] for day in stretch),
                trials=sum(of[day] for day in stretch),
            )
            for stretch in days.stretches
        ),
        versions=_versions(totals, one, blamed),
        evidence=_evidence(totals.evidence[name], blamed),
        notes=tuple(counted.notes.get(name, ())),
    )


def _versions(totals: _Totals, one: _Weighed, blamed: set[str]) -> tuple[VersionRate, ...]:
    hits = totals.versions[one.group.fingerprint]
    tests = {test.version: test for test in one.tests}
    found = [
        VersionRate(
            version=version,
            hits=hits[version],
            trials=totals.by_version[one.group.unit][version],
            explains=version in blamed,
            **_tested(tests.get(version)),
        )
        for version in {*hits, *tests}
    ]
    return tuple(sorted(found, key=lambda one: (not one.explains, -one.hits, one.version)))


def _tested(test: VersionTest | None) -> dict[str, Any]:
    """Return a test as the fields of a rate; nothing where there was none."""
    if test is None:
        return {}
    return {
        "people": test.people,
        "of_people": test.of_people,
        "against": test.against,
        "against_people": test.against_people,
        "against_of_people": test.against_of_people,
    }


def _evidence(shown: Iterable[tuple[str, float, str]], blamed: set[str]) -> tuple[str, ...]:
    """Return answers that show it, newest first, those of versions that explain it before others."""
    found = sorted((version not in blamed, -at, name) for version, at, name in shown)
    return tuple(dict.fromkeys(name for *_, name in found))[:EVIDENCE]
