"""Triage reports as the job would have filed them, from what matters to a test."""

from rlwd.ops.problem_groups.days import day_named, named_day
from rlwd.ops.problem_groups.judged_group import JudgedGroup, State, VersionRate, WeekCount
from rlwd.ops.problem_groups.problem_group import ProblemGroup
from rlwd.ops.triage.triage_report import DriftSeen, TriageReport, VersionBehaviour


def group(
    name: str, *, state: State = "steady", evidence: tuple[str, ...] = (), explains: str = ""
) -> JudgedGroup:
    """A group of tools' calls that failed."""
    what = ProblemGroup(source="tool", name=name, unit="calls of search")
    rate = VersionRate(
        version=explains or "policy@v000001-0",
        hits=30,
        trials=70,
        people=3,
        of_people=22,
        against="policy@v000001-0, on the same days",
        against_people=1,
        against_of_people=22,
        explains=bool(explains),
    )
    return JudgedGroup(
        fingerprint=what.fingerprint,
        group=what,
        state=state,
        hits=30,
        trials=70,
        rate_before=0.01,
        tail=1e-9,
        no_past=False,
        first_seen="2026-11-02",
        last_seen="2026-11-20",
        weeks=(
            WeekCount(since="2026-11-16", hits=30, trials=70),
            WeekCount(since="2026-11-09", hits=1, trials=70),
        ),
        versions=(rate,),
        evidence=evidence,
    )


def report(since: str, *groups: JudgedGroup, drift: tuple[DriftSeen, ...] = ()) -> TriageReport:
    """The report of a week."""
    return TriageReport(
        policy="policy",
        since=since,
        until=named_day(day_named(since) + 7),
        before_days=28,
        false_share=0.05,
        groups=groups,
        behaviour=(
            VersionBehaviour(
                version="policy@v000001-0",
                answers=70,
                asks=0.1,
                refuses=None,
                tokens=12.0,
                edited=0.2,
                undone=None,
                tools={"search": 1.0},
            ),
        ),
        drift=drift,
        alarms=(),
        read=("70 answers were read",),
    )
