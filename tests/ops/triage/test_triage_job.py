"""Triage job: which week is due, what is told once, and what is remembered when its source is gone."""

import msgspec
import pytest

from rlwd.ops.problem_groups.days import day_named, named_day
from rlwd.ops.problem_groups.judged_group import JudgedGroup, State, WeekCount
from rlwd.ops.problem_groups.problem_group import DAY, ProblemGroup
from rlwd.ops.triage.group_page import group_lines
from rlwd.ops.triage.issue import issue_bodies, worth_telling
from rlwd.ops.triage.settings import TriageSettings
from rlwd.ops.triage.triage_job import due_week
from rlwd.ops.triage.triage_memory import to_remember
from rlwd.ops.triage.triage_report import TriageReport
from rlwd.ops.triage.triage_tables import RememberedGroup

MONDAY = day_named("2026-11-23")


@pytest.mark.parametrize(
    ("last", "hours", "since"),
    [
        (None, 0.5, "2026-11-09"),
        (None, 1.5, "2026-11-16"),
        (MONDAY - 7, 1.5, "2026-11-16"),
        (MONDAY, 24.0, None),
        (MONDAY, 7 * 24 + 1.5, "2026-11-23"),
        (MONDAY - 21, 1.5, "2026-11-02"),
        (MONDAY - 700, 1.5, "2026-10-26"),
    ],
)
def test_each_week_is_due_once_it_is_over(
    last: int | None, hours: float, since: str | None
) -> None:
    """One after the other, an hour after its end; of a long absence the last four are made up for."""
    days = due_week(last, MONDAY * DAY + hours * 3600.0, 28)
    assert (None if days is None else named_day(days.since)) == since
    assert days is None or days.until - days.since == 7


def judged(name: str, state: State, hits: int = 9, **more: object) -> JudgedGroup:
    group = ProblemGroup(source="tool", name=name, unit="calls")
    known = {
        "fingerprint": group.fingerprint,
        "group": group,
        "state": state,
        "hits": hits,
        "trials": 100,
        "rate_before": 0.0,
        "tail": 1.0,
        "no_past": False,
        "first_seen": "2026-11-16",
        "last_seen": "2026-11-22",
        "weeks": (WeekCount(since="2026-11-16", hits=hits, trials=100),),
        "versions": (),
        "evidence": ("g1",),
    }
    return JudgedGroup(**{**known, **more})  # type: ignore[arg-type]


def report_of(*groups: JudgedGroup) -> TriageReport:
    return TriageReport(
        policy="p",
        since="2026-11-16",
        until="2026-11-23",
        before_days=28,
        false_share=0.05,
        groups=groups,
        behaviour=(),
        drift=(),
        alarms=(),
        read=(),
    )


def lives(*states: tuple[State, int]) -> list[bool]:
    """Return for each week of a group whether an issue is opened."""
    known: dict[str, RememberedGroup] = {}
    found = []
    for state, hits in states:
        report = report_of(judged("a", state, hits))
        told = worth_telling(report, known, 5)
        found.append(bool(told))
        known = {one.fingerprint: one for one in to_remember(report, known, told)}
    return found


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([("new", 9), ("steady", 9), ("gone", 0)], [True, False, False]),
        ([("new", 2), ("steady", 3), ("steady", 9), ("steady", 9)], [False, False, True, False]),
        ([("new", 9), ("spiking", 9), ("spiking", 9)], [True, True, False]),
        (
            [("steady", 9), ("spiking", 9), ("steady", 9), ("spiking", 9)],
            [False, True, False, True],
        ),
    ],
)
def test_an_issue_is_opened_once_for_each_thing_that_begins(
    states: list[tuple[State, int]], told: list[bool]
) -> None:
    """What is new, as soon as it happened often enough; and each time that it begins to spike."""
    assert lives(*states) == told


def test_a_spike_that_waited_for_others_is_told_the_week_after() -> None:
    """Of what an issue was opened for when it was new, and whose spike was one more than a report opens."""
    known: dict[str, RememberedGroup] = {}
    weeks: list[tuple[State, bool]] = [("new", True), ("spiking", False), ("spiking", True)]
    for state, opens in weeks:
        report = report_of(judged("a", state))
        due = worth_telling(report, known, 5)
        assert len(due) == 1
        known = {one.fingerprint: one for one in to_remember(report, known, due * opens)}
    assert worth_telling(report_of(judged("a", "spiking")), known, 5) == []


def test_names_that_others_chose_end_no_code_span_and_call_nobody() -> None:
    """A tool that the model calls @everyone or `</a> stays in its code span, in one line, and moves no cursor."""
    one = judged("`@everyone\n# fails |\x9b2J\u202e as", "new")
    lines = list(group_lines(one))
    assert lines[0] == "Tools: `@everyone # fails ¦ 2J as`."
    ((key, raw),) = issue_bodies(report_of(one), [one], ["x"]).items()
    issue = msgspec.json.decode(raw)
    assert issue["title"] == "p: new: @everyone # fails | 2J as"
    assert issue["key"] == key == f"p-{one.fingerprint}-2026-11-23"
    assert (issue["labels"], issue["fingerprint"]) == (["x", "tool", "new"], one.fingerprint)


@pytest.mark.parametrize(
    "address", ["ftp://h/x", "https://u:p@h/x", "https:///x", "https://h/x#y", "http://h:0/", "h"]
)
def test_an_address_that_is_none_is_refused_and_not_told(address: str) -> None:
    """The key is named; the address may be a secret."""
    with pytest.raises(ValueError, match=r"^webhook: ") as refused:
        TriageSettings(webhook=address)
    assert address not in str(refused.value) or len(address) < 2
    with pytest.raises(ValueError, match="no webhook"):
        TriageSettings(token="t")
