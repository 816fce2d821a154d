"""Rollout list: one row for each rollout, with what its last look showed."""

from collections.abc import Mapping
from typing import Any

from ...ops.looks.look import Look, MetricPoint
from ...ops.looks.looks_table import last_looks
from ...ops.rollout import rollouts_table
from ...ops.stages.record import Rollout
from ...streams.state.transaction import Transaction
from ..charts.words import between, percent, stage_words, tone


def read_list(view: Transaction, policy: str, *, limit: int, steps: int) -> list[dict[str, Any]]:
    """Return the last rollouts, newest first."""
    looks = last_looks(view, policy)
    found = rollouts_table.history(view, policy, limit=limit)
    return [row_of(rollout, looks, steps=steps) for rollout in reversed(found)]


def row_of(rollout: Rollout, looks: Mapping[str, Look], *, steps: int) -> dict[str, Any]:
    """Return what a list says of a rollout."""
    look = looks.get(rollout.version)
    goal = main_metric(look)
    return {
        "version": rollout.version,
        "stage": stage_words(str(rollout.stage), rollout.step, steps),
        "tone": tone(str(rollout.stage)),
        "control": rollout.control,
        "began": rollout.trail[0].at if rollout.trail else rollout.entered_at,
        "since": rollout.entered_at,
        "metric": goal.name if goal else "",
        "change": percent(goal.change) if goal else "",
        "between": between(goal.low, goal.high) if goal else "",
        "users": " + ".join(f"{count:,}" for count in look.exposed) if look else "",
        "why": rollout.why,
    }


def main_metric(look: Look | None) -> MetricPoint | None:
    """Return the first goal's metric; None before anything was compared."""
    if look is None:
        return None
    goals = [point for point in look.metrics if point.kind != "guard"]
    return next(iter(goals or look.metrics), None)
