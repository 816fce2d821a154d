"""Health page: what the learner's updates measured, what is beyond its bar first, and its course."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...learner.candidate import Candidate
from ...learner.health import Signal, SignalReading, readings
from ...ops.rollout import candidates_table, rollouts_table
from ...streams.state.transaction import Transaction
from ..charts.course import course_chart
from ..charts.words import short_version, stage_words, tone
from .runbook import marked

VERSIONS = 40
"""Newest versions that are shown."""


class MeasuredUpdate(NamedTuple):
    """One version as its update measured it."""

    candidate: Candidate
    """The version."""
    made_at: float | None
    """When; None where its checkpoint is not in the tables."""
    seconds: float | None
    """How long the update took."""
    batch: int | None
    """The batch that it learned from; None of v0 and of what went back."""
    readings: list[SignalReading]
    """What it measured."""


def read_health(view: Transaction, policy: str) -> dict[str, Any]:
    """Return the page's content; reads the records of the newest versions by key."""
    updates = _updates(view, policy)
    newest = next((one for one in updates if one.readings), None)
    measured = newest.readings if newest else []
    return {
        "newest": newest.candidate.version if newest else "",
        "made_at": newest.made_at if newest else None,
        "beyond": [_told(one) for one in measured if one.beyond],
        "barred": sum(one.signal.bar != "none" for one in measured),
        "courses": _courses(updates, newest),
        "updates": [_row(view, policy, one) for one in updates],
        "seconds": [one.seconds for one in updates if one.seconds is not None],
        "most": VERSIONS,
    }


def _updates(view: Transaction, policy: str) -> list[MeasuredUpdate]:
    """Return the newest versions with their checkpoints, newest first."""
    found = list(candidates_table.newest_first(view, policy, VERSIONS))
    made: Mapping[int, Sequence[Any]] = {}
    if found:
        rows = view.execute(
            "SELECT sequence, created_at, seconds, batch_id FROM checkpoints"
            " WHERE policy = ? AND sequence >= ? ORDER BY sequence",
            (policy, found[-1].sequence),
        ).fetchall()
        made = {row[0]: row[1:] for row in rows}
    updates = []
    for one in found:
        at, seconds, batch = made.get(one.sequence, (None, None, None))
        updates.append(MeasuredUpdate(one, at, seconds, batch, readings(one.metrics)))
    return updates


def _told(one: SignalReading) -> dict[str, Any]:
    return {
        "name": one.signal.name,
        "value": one.value,
        "bar": one.signal.bar,
        "beyond": one.beyond,
        "asks": marked(one.signal.asks),
        "metric": one.signal.metric,
    }


def _courses(
    updates: Sequence[MeasuredUpdate], newest: MeasuredUpdate | None
) -> list[dict[str, Any]]:
    """Return each signal's course, oldest version first; what is beyond its bar now stands first."""
    courses: dict[str, list[tuple[str, float, bool]]] = {}
    known: dict[str, Signal] = {}
    for update in reversed(updates):
        for one in update.readings:
            name = short_version(update.candidate.version).partition("-")[0]
            known[one.signal.metric] = one.signal
            courses.setdefault(one.signal.metric, []).append((name, one.value, one.beyond))
    now = {one.signal.metric: one for one in newest.readings} if newest else {}
    order = sorted(known, key=lambda metric: not (metric in now and now[metric].beyond))
    return [
        {
            **_told(now.get(metric) or SignalReading(known[metric], courses[metric][-1][1], False)),
            "measured": metric in now,
            "chart": course_chart(
                f"course-{place}",
                f"{known[metric].name}, by version",
                courses[metric],
                low=known[metric].low,
                high=known[metric].high,
            ),
        }
        for place, metric in enumerate(order)
    ]


def _row(view: Transaction, policy: str, update: MeasuredUpdate) -> dict[str, Any]:
    version = update.candidate.version
    rollout = rollouts_table.find(view, policy, version)
    stage = "" if rollout is None else str(rollout.stage)
    return {
        "version": version,
        "let_out": rollout is not None,
        "stage": stage_words(stage) if stage else "never offered",
        "tone": tone(stage) if stage else "still",
        "made_at": update.made_at,
        "seconds": update.seconds,
        "batch": update.batch,
        "beyond": ", ".join(one.signal.name for one in update.readings if one.beyond),
        "measured": len(update.readings),
    }
