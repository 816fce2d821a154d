"""Triage memory: what a later report has from earlier ones, and what this one leaves to it."""

from collections.abc import Iterable, Mapping

from ..problem_groups.days import SeenDays, day_named
from ..problem_groups.fingerprint import normal
from ..problem_groups.judge_groups import KnownGroup
from ..problem_groups.judged_group import JudgedGroup
from ..problem_groups.problem_group import CountedProblems, ProblemGroup, Source
from .triage_report import TriageReport
from .triage_tables import Counts, RememberedGroup

SAVED: tuple[Source, ...] = ("log", "tool", "dead_letter")
"""Sources that may forget sooner than a later week asks: their counts are saved."""
STANDING: Source = "standing"
BEGINS = ("new", "spiking")
"""States of which an issue is opened when they begin."""


def add_saved(
    counted: CountedProblems,
    saved: tuple[Counts, Counts],
    known: Mapping[str, RememberedGroup],
    days: SeenDays,
) -> None:
    """Take what was saved of days before the window, in the place of what is left of them.

    A day is saved for each of what is counted by itself: where log files were named later than calls of
    tools were counted, they are the past of what they hold.
    """
    hits, trials = saved
    held = {(unit, day) for unit, _, day in trials if day < days.since}
    units = {name: one.unit for name, one in counted.groups.items() if one.source in SAVED}
    for key in [key for key in counted.trials if (key[0], key[2]) in held]:
        del counted.trials[key]
    for key in [key for key in counted.hits if (units.get(key[0]), key[2]) in held]:
        del counted.hits[key]
    for key, count in trials.items():
        if (key[0], key[2]) in held:
            counted.trials[key] = count
    for (name, version, day), count in hits.items():
        if name in known and (known[name].unit, day) in held:
            counted.group(_group(known[name]))
            counted.hits[name, version, day] = count


def add_standing(
    counted: CountedProblems,
    problems: Mapping[str, str] | None,
    known: Mapping[str, RememberedGroup],
    days: SeenDays,
) -> None:
    """Note the problems that status names as groups: they are there or not, and were or were not.

    None: nobody knows which there were, so that none of them is said to be gone.
    """
    if problems is None:
        counted.read.append("problems that status names: not known of days that ended longer ago")
        return
    for name, said in sorted(problems.items()):
        group = counted.group(ProblemGroup(source=STANDING, name=f"problem {name}"))
        counted.hits[group, "", days.until - 1] = 1
        counted.notes[group].append(normal(said))
    for was in known.values():
        if was.source == STANDING and was.last_day < days.since and was.state != "gone":
            counted.hits[counted.group(_group(was)), "", days.since - 1] = 1


def as_known(known: Mapping[str, RememberedGroup]) -> dict[str, KnownGroup]:
    """Return when groups were seen; a problem of status that was over is new when it comes back."""
    return {
        name: KnownGroup(one.first_day, one.last_day)
        for name, one in known.items()
        if not (one.source == STANDING and one.state == "gone")
    }


def to_save(counted: CountedProblems, days: SeenDays) -> tuple[Counts, Counts]:
    """Return the counts that a later week may ask for when their source has forgotten them."""
    groups = {name for name, one in counted.groups.items() if one.source in SAVED}
    units = _saved_units(counted)
    return _kept(counted.hits, groups, days), _kept(counted.trials, units, days)


def to_remember(
    report: TriageReport, known: Mapping[str, RememberedGroup], told: Iterable[JudgedGroup]
) -> list[RememberedGroup]:
    """Return what is remembered of each group: what is new stays so until an issue is opened for it.

    What begins now is not told by an issue of what was before.
    """
    names = {one.fingerprint for one in told}
    found = []
    for one in report.groups:
        was = known.get(one.fingerprint)
        goes_on = was is not None and (one.state not in BEGINS or was.state == one.state)
        is_told = one.fingerprint in names or (was is not None and bool(was.told) and goes_on)
        waits = was is not None and was.state == "new" and one.state == "steady" and not is_told
        found.append(
            RememberedGroup(
                fingerprint=one.fingerprint,
                source=one.group.source,
                name=one.group.name,
                unit=one.group.unit,
                people=one.group.people,
                first_day=day_named(one.first_seen),
                last_day=day_named(one.last_seen),
                state="new" if waits else one.state,
                told=int(is_told),
            )
        )
    return found


def _group(was: RememberedGroup) -> ProblemGroup:
    source: Source = was.source  # type: ignore[assignment]  # written from one
    return ProblemGroup(source=source, name=was.name, unit=was.unit, people=was.people)


def _saved_units(counted: CountedProblems) -> set[str]:
    """Return the units of which a saved source counts, those without any hit too."""
    prefixes = ("ten minutes", "calls of ")
    return {unit for unit, _, _ in counted.trials if unit.startswith(prefixes)}


def _kept(counts: Counts, names: set[str], days: SeenDays) -> Counts:
    return Counts({key: n for key, n in counts.items() if key[0] in names and key[2] < days.until})
