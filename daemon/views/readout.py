"""Readout page: all that is known of one rollout, in the shape that its template shows."""

import math
from collections.abc import Sequence
from typing import Any

from ...learner.health import readings
from ...ops.looks.alpha_spent import alpha_spent
from ...ops.looks.look import Look, MetricPoint
from ...ops.looks.looks_table import find_parts, looks
from ...ops.looks.part import RolloutPart
from ...ops.looks.power import power_left
from ...ops.rollout import candidates_table, champions_table, rollouts_table
from ...ops.stages.record import Rollout, Stage
from ...streams.state.transaction import Transaction
from ..charts.chart import EffectPoint, effect_chart
from ..charts.words import OUTCOMES, between, duration, metric_words, percent, stage_words, tone
from .batch import batch_of
from .trials import evidence

TABLE_ROWS = 24
"""Looks in the table behind a chart, evenly over its time."""


def read_readout(
    view: Transaction, policy: str, version: str, now: float, *, steps: int
) -> dict[str, Any] | None:
    """Return the page's content; None for a version that never had a rollout."""
    rollout = rollouts_table.find(view, policy, version)
    if rollout is None:
        return None
    seen = looks(view, policy, version)
    parts = find_parts(view, policy, version)
    last = seen[-1] if seen else None
    champion = champions_table.find_champion(view, policy)
    candidate = candidates_table.find(view, policy, version)
    health = readings(candidate.metrics)
    return {
        "rollout": rollout,
        "batch": batch_of(view, policy, candidate.sequence),
        # v0 never had a rollout, so it has no page to lead to.
        "control_had_one": rollouts_table.find(view, policy, rollout.control) is not None,
        "stage": stage_words(str(rollout.stage), rollout.step, steps),
        "tone": tone(str(rollout.stage)),
        "began": rollout.trail[0].at if rollout.trail else rollout.entered_at,
        "left": None if rollout.ended else max(0.0, rollout.deadline - now),
        "verdict": OUTCOMES.get(str(rollout.verdict.outcome), ""),
        "reasons": rollout.verdict.reasons,
        "looked": last.at if last else None,
        "look_count": rollout.looks,
        "metrics": [_metric(place, name, seen, rollout) for place, name in enumerate(_names(seen))],
        "split": _split(last, rollout),
        "power": [] if rollout.ended else _power(seen, rollout, now),
        "segments": _parts(parts.parts if parts else (), "segment"),
        "days": _parts(parts.parts if parts else (), "day"),
        "parts_at": parts.at if parts else None,
        "trail": [
            {
                "stage": stage_words(str(move.stage), move.step, steps),
                "tone": tone(str(move.stage)),
                "at": move.at,
                "why": move.reason,
            }
            for move in reversed(rollout.trail)
        ],
        "baked": [_row(point) for point in last.since_promotion] if last else [],
        "measurements": evidence(rollout),
        "health": health,
        "unwell": sum(one.beyond for one in health),
        "barred": sum(one.signal.bar != "none" for one in health),
        "actions": _actions(rollout, None if champion is None else champion.version),
    }


def _names(seen: Sequence[Look]) -> list[str]:
    names: dict[str, None] = {}
    for look in reversed(seen):
        names |= dict.fromkeys(point.name for point in look.metrics)
    return list(names)


def _metric(place: int, name: str, seen: Sequence[Look], rollout: Rollout) -> dict[str, Any]:
    found = [(look.at, point) for look in seen for point in look.metrics if point.name == name]
    last = found[-1][1]
    look = next(one for one in reversed(seen) if one.at == found[-1][0])
    better = 1 if last.direction == "higher" else -1
    margin = None
    if last.kind != "guard":
        margin = better * (last.margin if last.kind == "superior" else -last.margin)
    points = [EffectPoint(at=at, change=p.change, low=p.low, high=p.high) for at, p in found]
    title = f"{metric_words(name)}: candidate minus control, relative to the control"
    return {
        **_row(last),
        "title": metric_words(name),
        "goal": _goal(last),
        "alpha": percent(last.alpha, sign=False, digits=2),
        "spent": percent(
            alpha_spent(last.users, look.harm_users, look.harm_planned_users, last.alpha),
            sign=False,
            digits=2,
        ),
        "chart": effect_chart(
            f"chart-{place}",
            title,
            points,
            margin=margin,
            steps=[move.at for move in rollout.trail],
        ),
        "table": [
            {"at": at, **_row(point)}
            for at, point in found[:: max(1, math.ceil(len(found) / TABLE_ROWS))]
        ],
    }


def _row(point: MetricPoint) -> dict[str, Any]:
    return {
        "name": point.name,
        "candidate": point.candidate,
        "control": point.control,
        "users": point.users,
        "change": percent(point.change),
        "between": between(point.low, point.high),
        "compared": point.change is not None,
        "none": not point.candidate and not point.control and point.users > 0,
        "says": _says(point),
        "tone": "bad" if point.harm else "good" if point.kind != "guard" and point.shown else "",
    }


def _says(point: MetricPoint) -> str:
    if point.harm:
        return "harm is shown"
    if point.kind == "guard":
        return "no harm is shown"
    return "the goal is shown" if point.shown else "not shown yet"


def _goal(point: MetricPoint) -> str:
    way = f"{point.direction} is better"
    if point.kind == "superior":
        return f"Goal: better by {percent(point.margin, sign=False)} ({way})"
    if point.kind == "non-inferior":
        return f"Goal: not worse by {percent(point.margin, sign=False)} ({way})"
    return f"Guard: takes the version back, or holds it, where it is worse ({way})"


def _split(last: Look | None, rollout: Rollout) -> dict[str, Any] | None:
    if last is None:
        return None
    return {
        "candidate": last.exposed[0],
        "control": last.exposed[1],
        "e_value": last.e_value,
        "limit": 1 / last.srm_alpha,
        "broken": rollout.split_broken or last.e_value >= 1 / last.srm_alpha,
        "held": rollout.held,
    }


def _power(seen: Sequence[Look], rollout: Rollout, now: float) -> list[dict[str, str]]:
    found = []
    for left in power_left(seen):
        missing = max(0.0, left.needed - left.users)
        pace = "" if left.a_day is None else f" at {left.a_day:,.0f} users a day per variant"
        if not math.isfinite(left.needed):
            says = "no crowd is large enough for this margin."
        elif left.seconds is None:
            says = f"about {missing:,.0f} more users per variant are needed; none come at present."
        elif not missing:
            says = "there are enough users: a version as good as the control is shown at any look."
        else:
            ends = "" if now + left.seconds < rollout.deadline else ", which is after the deadline"
            says = (
                f"about {missing:,.0f} more users per variant are needed:"
                f" {duration(left.seconds)}{pace}{ends}."
            )
        found.append({"metric": metric_words(left.metric), "says": says})
    return found


def _parts(parts: Sequence[RolloutPart], by: str) -> list[dict[str, Any]]:
    return [
        {
            "name": part.name or "(none)",
            "answers": part.answers,
            "metrics": [_row(point) for point in part.metrics if point.kind != "guard"],
        }
        for part in parts
        if part.by == by
    ]


def _actions(rollout: Rollout, champion: str | None) -> list[str]:
    """Return what can be decided by hand of this rollout."""
    if rollout.version == champion and rollout.stage in (Stage.PROMOTED, Stage.SETTLED):
        held = rollout.held and rollout.stage is Stage.PROMOTED
        return ["promote", "rollback"] if held else ["rollback"]
    if rollout.ended or rollout.stage is Stage.PROMOTED:
        return []
    return ["promote", "reject"] if rollout.stage is Stage.CANARY else ["reject"]
