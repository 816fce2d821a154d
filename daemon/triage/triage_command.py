"""Triage command: `rlwd triage`, the problems of a week as a report; and what the daemon's timer runs."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...ops.problem_groups.days import WEEK, SeenDays, day_named, day_of, named_day
from ...ops.problem_groups.problem_group import DAY
from ...ops.rollout import rollouts_table
from ...ops.rollout.problems import release_problems
from ...ops.triage import triage_tables
from ...ops.triage.report_page import headline, report_page
from ...ops.triage.settings import FOLDER
from ...ops.triage.triage_job import Surroundings, TriageJob, due_week
from ...ops.triage.triage_report import TriageReport
from ...ops.triage.webhook import Webhook
from ...streams.state.file_lock import FileLocked, lock_file
from ...streams.state.store import Store
from ..config import Config
from ..shown_json import escaped
from ..store import existing_store
from .report_files import write_report

ROLLOUTS = 200
"""Newest candidates whose control is known."""
KNOWN_SECONDS = 2.0 * DAY
"""So long after the end of a week what status names is taken for what it named then: the timer may wait a day."""


def run_triage(
    config: Config, *, since: str, until: str, as_json: bool, folder: Path | None
) -> int:
    """Print or write the report of some days; nothing is filed and nothing posted. Returns 0.

    Raises ValueError where the days are none, or there is no state database.
    """
    days = asked_days(since, until, time.time(), config.triage.baseline_days)
    store = existing_store(config)
    try:
        job = TriageJob(store, config.policy, config.triage)
        report, _ = job.report(days, _surroundings(store, config, days, time.time()))
    finally:
        store.close()
    if folder is not None:
        for path in write_report(folder, report):
            print(path)
    elif as_json:
        print(escaped(msgspec.json.format(msgspec.json.encode(report), indent=2).decode()))
    else:
        print(report_page(report), end="")
    return 0


def run_due(config: Config, *, now: float | None = None) -> int:
    """File each week that is over and was not looked at, and post what waits; as the timer does.

    Returns 0 where all of it went well, or another process is at it, and 1 where an issue could not be told.
    """
    config = config.with_secrets("triage")
    try:
        with _alone(config.state_path / FOLDER):
            return _run_alone(config, time.time() if now is None else now)
    except FileLocked as other:
        who = f"process {other.holder}" if other.holder else "another process"
        print(
            f"{who} does it already: it files what is due and tells it; nothing was done here",
            file=sys.stderr,
        )
        return 0


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second one of this state out; raises FileLocked, with whoever is at it."""
    folder.mkdir(parents=True, exist_ok=True)
    held = lock_file(folder / "lock")
    try:
        yield
    finally:
        os.close(held)


def _run_alone(config: Config, clock: float) -> int:
    store, said = existing_store(config), list[str]()
    try:
        if config.triage.every == "week":
            said += _file_weeks(store, config, clock)
        told, problem = 0, ""
        if config.triage.webhook:
            told, problem = Webhook(store, config.policy, config.triage).deliver()
    finally:
        store.close()
    said += [f"{told} issues told"] * bool(told) + [problem] * bool(problem)
    print("; ".join(said) or "triage is not due", file=sys.stderr)
    return int(bool(problem))


def asked_days(since: str, until: str, now: float, before_days: int) -> SeenDays:
    """Return the days that were asked for: the last seven, today among them, where none were.

    Raises ValueError where they are none.
    """
    end = day_named(until) if until else day_of(now) + 1
    begin = day_named(since) if since else end - WEEK
    if not 0 < end - begin <= 366:
        raise ValueError(f"{named_day(begin)} up to {named_day(end)}: from 1 to 366 days")
    return SeenDays(since=begin, until=end, before_days=before_days)


def _file_weeks(store: Store, config: Config, now: float) -> list[str]:
    job, said = TriageJob(store, config.policy, config.triage), list[str]()
    while True:
        with store.reading() as view:
            last = triage_tables.last_until(view, config.policy, day_of(now))
            days = due_week(last, now, config.triage.baseline_days)
        if days is None:
            return said
        report, counted = job.report(days, _surroundings(store, config, days, now))
        # Written first: who dies here writes the same file again.
        write_report(config.state_path / FOLDER, report, keep=True)
        said.append(_said(report, job.file(days, report, counted, now)))


def _said(report: TriageReport, opened: int | None) -> str:
    if opened is None:
        return f"week of {report.since}: another process filed it meanwhile"
    return f"week of {report.since}: {headline(report)}; {opened} issues opened"


def _surroundings(store: Store, config: Config, days: SeenDays, now: float) -> Surroundings:
    """Return what candidates are compared with, and what status names, where the days end about now."""
    end: float = days.until * DAY
    problems: dict[str, str] | None = None
    with store.reading() as view:
        controls = {
            one.version: one.control
            for one in rollouts_table.history(view, config.policy, limit=ROLLOUTS)
        }
        if end >= now - KNOWN_SECONDS:
            problems = release_problems(view, config.policy, config.rollout, min(end, now))
    return Surroundings(controls=controls, problems=problems)
