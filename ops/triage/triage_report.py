"""Triage report: all that is told of some days, as a record; the same days give the same bytes."""

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from ...rewards.behaviours.behaviour import TOOL
from ...streams.state.transaction import Transaction
from ..drift import alarms_table
from ..drift.drift_look import DriftLook
from ..problem_groups.answered import ANSWERS
from ..problem_groups.days import SeenDays, day_of, named_day
from ..problem_groups.judged_group import JudgedGroup
from ..problem_groups.problem_group import DAY, told_name

MOST_VERSIONS, MOST_TOOLS = 12, 8
"""Versions in the table of behaviour, those with the most answers first; tools of each."""


class VersionBehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How one version behaved in these days."""

    version: str
    """The version; empty where the product did not say."""
    answers: int
    """Its answers."""
    asks: float | None
    """Share that ask back, of those of which that is told; None where it is told of none."""
    refuses: float | None
    """Share that decline; likewise."""
    tokens: float | None
    """Mean of the tokens written."""
    edited: float | None
    """Share that was edited, of what somebody decided on."""
    undone: float | None
    """Share that was taken back, of what somebody decided on."""
    tools: dict[str, float]
    """Share of each tool among the calls, those called most first."""


class DriftSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One behaviour of one version against its reference, as the drift watch last saw it."""

    version: str
    """The version."""
    against: str
    """Its reference, in words."""
    behaviour: str
    """Which."""
    rate: float
    """Mean of its people."""
    reference: float
    """Mean of the reference's."""
    low: float | None
    """Lower end of the difference; None before enough people came."""
    high: float | None
    """Upper end."""
    bar: float
    """From which difference on it is an alarm."""
    passed: bool
    """Whether it is shown to have passed that."""
    looked: str = ""
    """Day of the look; a version that still serves is looked at after these days, too."""


class StoodAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """A drift alarm that was filed in these days."""

    version: str
    """The version."""
    said: str
    """What was shown, without what anybody wrote."""
    evidence: tuple[str, ...]
    """Answers."""


class TriageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What some days were like."""

    policy: str
    """The policy."""
    since: str
    """First day."""
    until: str
    """First day that is not looked at any more."""
    before_days: int
    """Days before that these are held against."""
    false_share: float
    """Share of what is said to spike that may do so by chance."""
    groups: tuple[JudgedGroup, ...]
    """Every group, those that happened most first."""
    behaviour: tuple[VersionBehaviour, ...]
    """By version."""
    drift: tuple[DriftSeen, ...]
    """What the drift watch saw of versions of these days, at its last look."""
    alarms: tuple[StoodAlarm, ...]
    """Drift alarms of these days."""
    read: tuple[str, ...]
    """What was read, and what was not."""

    def of(self, state: str) -> list[JudgedGroup]:
        """Return the groups in one state."""
        return [one for one in self.groups if one.state == state]


def behaviour_of(numbers: Mapping[str, Counter[str]]) -> tuple[VersionBehaviour, ...]:
    """Return how versions behaved, from what `AnswerTrials` added up."""
    order = sorted(numbers, key=lambda version: (-numbers[version][ANSWERS], version))
    return tuple(_behaviour(version, numbers[version]) for version in order[:MOST_VERSIONS])


def drift_rows(
    view: Transaction, policy: str, days: SeenDays, answered: Collection[str]
) -> tuple[DriftSeen, ...]:
    """Return what the drift watch's last looks saw of versions that it looked at in these days.

    Of each version the last look alone is held, and what still serves is looked at every minute: where it
    `answered` in these days, a later look is of these days' answers, too.
    """
    looks = [
        look
        for look in alarms_table.looks(view, policy)
        if look.at >= days.since * DAY and (look.at < days.until * DAY or look.version in answered)
    ]
    looks.sort(key=lambda look: (look.version, look.total, look.against))
    return tuple(row for look in looks for row in _rows(look))


def stood_alarms(view: Transaction, policy: str, days: SeenDays) -> tuple[StoodAlarm, ...]:
    """Return the drift alarms that were filed in these days; what a version says is not quoted."""
    found = [
        one
        for one in alarms_table.alarms(view, policy)
        if days.since * DAY <= one.at < days.until * DAY
    ]
    return tuple(
        StoodAlarm(version=one.version, said=_said(one), evidence=one.evidence)
        for one in sorted(found, key=lambda one: (one.version, one.behaviour))
    )


def _said(alarm: alarms_table.DriftAlarm) -> str:
    if alarm.behaviour == "phrases":
        return f"phrases grew, {alarm.said.rpartition(', reward ')[2].partition(', ')[2]}"
    steps = "in all, step by step: " if alarm.is_total else ""
    return f"{steps}{told_name(alarm.said)}"


def _rows(look: DriftLook) -> list[DriftSeen]:
    return [
        DriftSeen(
            version=look.version,
            against=look.against,
            behaviour=told_name(one.name),
            rate=round(one.rate, 6),
            reference=round(one.reference, 6),
            low=None if one.low is None else round(one.low, 6),
            high=None if one.high is None else round(one.high, 6),
            bar=round(one.bar, 6),
            passed=one.passed,
            looked=named_day(day_of(look.at)),
        )
        for one in look.behaviours
    ]


def _behaviour(version: str, numbers: Counter[str]) -> VersionBehaviour:
    tools = {name[len(TOOL) :]: n for name, n in numbers.items() if name.startswith(TOOL)}
    order = sorted(tools, key=lambda tool: (-tools[tool], tool))[:MOST_TOOLS]
    calls = sum(tools.values())
    return VersionBehaviour(
        version=version,
        answers=numbers[ANSWERS],
        asks=_share(numbers["asks"], numbers["told asks"]),
        refuses=_share(numbers["refuses"], numbers["told refuses"]),
        tokens=_share(numbers["tokens"], numbers["with tokens"]),
        edited=_share(numbers["edited"], numbers["decided"]),
        undone=_share(numbers["undone"], numbers["decided"]),
        tools={tool: round(tools[tool] / calls, 4) for tool in order},
    )


def _share(count: int, of: int) -> float | None:
    return round(count / of, 4) if of else None
