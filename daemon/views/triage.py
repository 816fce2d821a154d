"""Triage page: what a week's triage found, each group with the answers that show it, from the report that was filed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...ops.problem_groups.judged_group import JudgedGroup
from ...ops.problem_groups.problem_group import SOURCES, told_name
from ...ops.triage import triage_tables
from ...ops.triage.report_page import headline, passed_first
from ...ops.triage.settings import FOLDER, TriageSettings
from ...ops.triage.triage_report import TriageReport
from ...streams.state.transaction import Transaction
from ..http.query import NotHere

MOST_TOLD, MOST_ROWS, MOST_VERSIONS, MOST_WEEKS = 50, 100, 8, 12
"""Groups that are told in full, and those that are rows; versions of a group; older reports that are named."""
_BEGINS, _ENDS = "triage-", ".json"


def newest_week(state: Path) -> str:
    """Return the first day of the newest report that was filed; empty before there is one."""
    return next(iter(_weeks(state)), "")


def read_triage(
    view: Transaction,
    policy: str,
    settings: TriageSettings,
    state: Path,
    asked: Mapping[str, str],
) -> dict[str, Any]:
    """Return the page's content: the newest report, or the one that begins on the day `asked` for.

    Raises NotHere for a day of which there is none.
    """
    weeks = _weeks(state)
    week = asked.get("since", next(iter(weeks), ""))
    if week and week not in weeks:
        raise NotHere(f"{week}: no report of days from then on is kept.")
    found: dict[str, Any] = {
        "weekly": settings.every == "week",
        "weeks": weeks[:MOST_WEEKS],
        "week": week,
        "untold": triage_tables.issue_problem(view, policy) if settings.webhook else None,
        "report": None,
        "damaged": "",
    }
    if not week:
        return found
    path = state / FOLDER / f"{_BEGINS}{week}{_ENDS}"
    try:
        report = msgspec.json.decode(path.read_bytes(), type=TriageReport)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as problem:
        return {**found, "damaged": f"{path}: {problem}"}
    return {**found, "report": report, **_told(report)}


def _weeks(state: Path) -> list[str]:
    """Return the first days of all reports, newest first."""
    files = (state / FOLDER).glob(f"{_BEGINS}*{_ENDS}")
    return sorted((one.name[len(_BEGINS) : -len(_ENDS)] for one in files), reverse=True)


def _told(report: TriageReport) -> dict[str, Any]:
    states = {name: report.of(name) for name in ("new", "spiking", "steady", "gone")}
    return {
        "headline": headline(report),
        "full": [
            (title, [_group(one) for one in states[name][:MOST_TOLD]], len(states[name]))
            for name, title in (("new", "New"), ("spiking", "Spiking"))
        ],
        "rows": [
            (title, [_group(one) for one in states[name][:MOST_ROWS]], len(states[name]))
            for name, title in (("steady", "As before"), ("gone", "Gone"))
        ],
        "behaviour": [
            {
                **msgspec.structs.asdict(one),
                "tools": ", ".join(f"{told_name(t)} {part:.0%}" for t, part in one.tools.items()),
            }
            for one in report.behaviour
        ],
        "drift": passed_first(report)[:MOST_ROWS],
    }


def _group(one: JudgedGroup) -> dict[str, Any]:
    """Return a group as the page shows it; names that others chose are in one line."""
    return {
        "name": told_name(one.group.name),
        "source": SOURCES[one.group.source],
        "unit": told_name(one.group.unit) if one.group.unit else "",
        "fingerprint": one.fingerprint,
        "hits": one.hits,
        "trials": one.trials,
        "before": one.rate_before,
        "tail": one.tail if one.state == "spiking" and one.tail < 1.0 else None,
        "no_past": one.no_past and bool(one.group.unit),
        "first": one.first_seen,
        "last": one.last_seen,
        "explained": one.explained_by,
        "notes": [told_name(note) for note in one.notes],
        "versions": [each for each in one.versions if each.version][:MOST_VERSIONS],
        "weeks": one.weeks,
        "evidence": one.evidence,
    }
