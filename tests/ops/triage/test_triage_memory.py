"""Triage memory, on SQLite and PostgreSQL: what a later week has when files and tables have forgotten it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import FEEDBACK, Ledger, generation
from places_by_hand import new_schema
from triage_weeks import write_log_lines

from rlwd.ops.problem_groups.days import SeenDays, day_named
from rlwd.ops.problem_groups.judged_group import JudgedGroup
from rlwd.ops.tool_errors.calls_table import CallCount, add_calls, forget_calls, move_read_until
from rlwd.ops.triage import triage_tables
from rlwd.ops.triage.settings import TriageSettings
from rlwd.ops.triage.triage_job import Surroundings, TriageJob

MONDAY = day_named("2026-11-23")
DAY = 86_400
FULL = "daemon error spool_full: slot # of <words> is full"


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A state without answers."""
    place: Path | str = tmp_path / "rlwd.db"
    if request.param == "postgres":
        place = new_schema(request.getfixturevalue("postgres_url"))
    ledger = open_daemon_ledger(place)
    yield ledger
    ledger.store.close()


def groups_of(
    job: TriageJob, monday: int, problems: dict[str, str] | None, *, file: bool = True
) -> dict[str, JudgedGroup]:
    """Look at the week before a Monday; return its groups by name."""
    days = SeenDays(since=monday - 7, until=monday, before_days=28)
    around = Surroundings(controls={}, problems=problems)
    report, counted = job.report(days, around)
    if file:
        assert job.file(days, report, counted, monday * DAY + 3600.0) is not None
        assert job.file(days, report, counted, monday * DAY + 3700.0) is None
    return {one.group.name: one for one in report.groups}


def test_what_its_source_forgot_is_still_the_past(ledger: Ledger, tmp_path: Path) -> None:
    """A week later the log files are gone and old calls forgotten: nothing is new that was there, what ended is
    gone, and a problem of status that ended and came back is new again; each is told once."""
    store, logs = ledger.store, tmp_path / "logs"
    write_log_lines(logs, MONDAY)
    at = MONDAY * DAY - 50_000.0
    ledger.take(*(generation(f"g{n}", at - n * DAY) for n in range(8)))
    ledger.take(b"not a record", partition=FEEDBACK)
    calls = [
        CallCount((MONDAY - day) * DAY, "search", "v", error_class, count)
        for day in range(-7, 35)
        for error_class, count in (("", 90), ("timeout", 10 if day != -3 else 0))
    ]
    with store.transaction() as tx:
        add_calls(tx, "policy", calls)
        move_read_until(tx, "policy", (MONDAY + 8) * DAY)
    settings = TriageSettings(logs=(str(logs / "*"),), webhook="http://127.0.0.1:1/", least=3)
    job = TriageJob(store, "policy", settings)
    first = groups_of(job, MONDAY, {"crowd": "23 users a day"})
    assert {name: first[name].state for name in (FULL, "problem crowd")} == {
        FULL: "new",
        "problem crowd": "new",
    }
    assert first["problem crowd"].notes == ("# users a day",)
    assert first["search fails as timeout"].state == "steady"
    for file in logs.iterdir():
        file.unlink()
    with store.transaction() as tx:
        forget_calls(tx, "policy", (MONDAY - 1) * DAY)
    second = groups_of(job, MONDAY + 7, {})
    steady = second["search fails as timeout"]
    assert (steady.state, steady.no_past) == ("steady", False)
    assert [week.hits for week in steady.weeks] == [60, 70, 70, 70, 70]
    assert second[FULL].state == "steady", "without a line on any day nothing is shown"
    assert second["problem crowd"].state == "gone"
    third = groups_of(job, MONDAY + 14, {"crowd": "24 users a day"})
    assert third["problem crowd"].state == "new"
    # A daemon that was away looks at a week that is long over: nobody knows whether the problem stood.
    assert "problem crowd" not in groups_of(job, MONDAY + 21, None)
    assert groups_of(job, MONDAY + 28, {"crowd": "25"})["problem crowd"].state == "steady"
    with store.reading() as view:
        waiting = triage_tables.waiting_issues(view, "policy", 1e12)
    told = [one.body for one in waiting]
    assert sum(FULL in one for one in told) == 1
    assert sum("problem crowd" in one for one in told) == 2
    assert not any("search" in one for one in told)


def test_logs_that_are_named_later_have_the_past_that_they_hold(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A first report without log files leaves nothing that their own days would give way to."""
    ledger.take(generation("g1", MONDAY * DAY - 50_000.0))
    ledger.take(b"not a record", partition=FEEDBACK, now=MONDAY * DAY - 40_000.0)
    groups_of(TriageJob(ledger.store, "policy", TriageSettings()), MONDAY, {})
    logs = tmp_path / "logs"
    write_log_lines(logs, MONDAY + 7)
    job = TriageJob(ledger.store, "policy", TriageSettings(logs=(str(logs / "*"),)))
    found = groups_of(job, MONDAY + 7, {})
    away = found["daemon warning engine_away: <url>"]
    assert (away.state, away.no_past) == ("steady", False)
    assert [week.hits for week in away.weeks] == [7, 7, 7, 0, 0]
    assert found[FULL].state == "new"


def test_what_is_kept_is_bounded(ledger: Ledger) -> None:
    """Groups that were not seen for long, counts that no report asks for, and runs of long ago go."""
    with ledger.store.transaction() as tx:
        for day in (MONDAY - 300, MONDAY):
            triage_tables.file_run(tx, "policy", day - 7, day, 0.0)
            name = f"g{day}"
            one = triage_tables.RememberedGroup(name, "tool", name, "u", "u", day, day, "new", 1)
            triage_tables.remember(tx, "policy", [one])
            counts = triage_tables.Counts({(name, "", day): 3})
            triage_tables.save_days(tx, "policy", counts, counts)
        triage_tables.forget_old(tx, "policy", MONDAY - 180, MONDAY - 28)
        assert list(triage_tables.remembered(tx, "policy")) == [f"g{MONDAY}"]
        hits, trials = triage_tables.saved_days(tx, "policy", range(MONDAY - 400, MONDAY + 1))
        assert dict(hits) == dict(trials) == {(f"g{MONDAY}", "", MONDAY): 3}
        assert triage_tables.last_until(tx, "policy", MONDAY) == MONDAY
        # The report of a clock that was a month ahead keeps no week from being looked at.
        triage_tables.file_run(tx, "policy", MONDAY + 21, MONDAY + 28, 0.0)
        assert triage_tables.last_until(tx, "policy", MONDAY + 7) == MONDAY
