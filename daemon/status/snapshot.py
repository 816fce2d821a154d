"""Status: what the state database says of the loop, as one JSON document.

Read from a snapshot, so that asking never makes the loop wait.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ...learner.ledger.batches_table import by_lane
from ...learner.ledger.passed_over import describe_passed_over
from ...learner.ledger.weighed import batch_weights, weighed_counts
from ...ops.drift import alarms_table
from ...ops.flags.flag_reach import FlagReach
from ...ops.rollout import rollouts_table
from ...streams.answers.answer_tallies import answer_counts
from ...streams.answers.session_turns import SessionShare, session_share
from ...streams.events.stage import EpisodeStage
from ...streams.join import offsets
from ...streams.readings.reading_tallies import describe_readings
from ...streams.readings.unknown_signals import unknown_signals
from ...streams.state.transaction import Transaction
from .served_times import event_to_served

SAMPLING_RULES = (
    *("excluded:greedy", "excluded:cut_sampling"),
    *("excluded:constrained", "excluded:raw_logprobs"),
)
"""Ways of drawing tokens by which no lane that is on could learn; shares of all generations are shown."""
Counting = Callable[[Transaction, str], dict[str, int]]
NEWEST_BATCHES = 5
"""Batches whose weights are shown."""


def describe(view: Transaction, policy: str) -> dict[str, Any]:
    """Return records, fates, batches and versions of a policy, from a database that may be another process's."""
    answers = answer_counts(view, policy)
    fates, generations = answers.fates, sum(answers.fates.values())
    return {
        "policy": policy,
        "records": _records(view, policy),
        "fates": fates,
        "generations": generations,
        "trained_by_lane": by_lane(answers.lanes),
        "ready": _ready(view, policy),
        "late_feedback": answers.late,
        "excluded_by_sampling": {
            rule: fates.get(rule, 0) / max(generations, 1) for rule in SAMPLING_RULES
        },
        "unknown_signals": _counted(unknown_signals, view, policy),
        "readings": _readings(view, policy),
        "batches": _batches(view, policy),
        "weights": _weights(view, policy),
        "too_old": describe_passed_over(view, policy),
        "versions": _versions(view, policy),
        "event_to_served_s": event_to_served(view, policy, answers.first),
        "sessions": describe_sessions(view, policy),
        "drift": describe_drift(view, policy),
    }


def describe_drift(view: Transaction, policy: str) -> dict[str, Any]:
    """Return how the newest version behaves against its reference, and all alarms."""
    return {
        "look": msgspec.to_builtins(next(iter(alarms_table.looks(view, policy)), None)),
        "alarms": msgspec.to_builtins(alarms_table.alarms(view, policy)),
    }


def _counted(count: Counting, view: Transaction, policy: str) -> dict[str, int]:
    try:
        return count(view, policy)
    except sqlite3.OperationalError:
        return {}  # A state that an older rlwd left: it did not count them.


def _readings(view: Transaction, policy: str) -> dict[str, Any]:
    try:
        return describe_readings(view, policy, time.time())
    except sqlite3.OperationalError:
        return {"waiting": 0, "all": {}, "today": {}}  # Likewise: nothing was read.


def describe_sessions(view: Transaction, policy: str) -> dict[str, int]:
    """Return how many conversations of the last day had their version changed under them."""
    try:
        return session_share(view, policy)._asdict()
    except sqlite3.OperationalError:
        return SessionShare(seen=0, switched=0)._asdict()  # A state that an older rlwd left.


def describe_reach(reach: FlagReach, now: float) -> dict[str, Any]:
    """Return how far the newest flags have come, gateway by gateway."""
    return {
        "generation": reach.generation,
        "complete": reach.complete,
        "gateways": [
            {
                "gateway": one.gateway,
                "generation": one.generation,
                "behind": one.generation < reach.generation,
                "heard_seconds_ago": round(max(0.0, now - one.at), 1),
            }
            for one in reach.gateways
        ],
        "said": reach.sentence,
    }


def difference_of(difference: float | None, spread: float | None) -> str:
    """Return candidate minus control with its standard error; empty before there is one.

    >>> difference_of(0.25, 0.1), difference_of(0.25, float("inf")), difference_of(float("nan"), None)
    ('+0.250 ± 0.100', '+0.250', '')
    """
    if difference is None or not math.isfinite(difference):
        return ""
    if spread is None or not math.isfinite(spread):
        return f"{difference:+.3f}"
    return f"{difference:+.3f} ± {spread:.3f}"


def users_on_trial(numbers: Mapping[str, float]) -> str:
    """Return the users behind a comparison, candidate and control; empty where none was made."""
    users = [numbers.get(f"ab/users_{variant}") for variant in ("candidate", "control")]
    return "" if None in users else " + ".join(f"{count:.0f}" for count in users)


def _records(view: Transaction, policy: str) -> dict[str, dict[str, int]]:
    return {
        f"{partition.topic}/{partition.index}": {
            "delivered": counts.delivered,
            "accepted": counts.accepted,
            "duplicate": counts.duplicate,
            "dead_lettered": counts.dead_lettered,
        }
        for partition, counts in offsets.record_counts(view, policy).items()
    }


def _ready(view: Transaction, policy: str) -> int:
    sql = f"SELECT COUNT(*) FROM episodes WHERE policy = ? AND stage = '{EpisodeStage.READY}'"
    return int(view.execute(sql, (policy,)).fetchone()[0])


def _batches(view: Transaction, policy: str) -> dict[str, int]:
    rows = view.execute(
        "SELECT state, COUNT(*) FROM batches WHERE policy = ? GROUP BY state", (policy,)
    )
    return dict(rows.fetchall())


def _weights(view: Transaction, policy: str) -> dict[str, Any]:
    """Return what the newest batches weigh, and by factor how many answers were ever weighed down."""
    try:
        counts = weighed_counts(view, policy)
        newest = batch_weights(view, policy, NEWEST_BATCHES)
    except sqlite3.OperationalError:
        return {"weighed_down": {}, "newest": []}  # A state that an older rlwd left.
    down = {factor: less for factor, (_, less) in counts.items() if less}
    return {"weighed_down": down, "newest": newest}


def _versions(view: Transaction, policy: str) -> list[dict[str, Any]]:
    return [
        {
            "version": rollout.version,
            "stage": str(rollout.stage),
            "control": rollout.control,
            "since": rollout.entered_at,
            "why": rollout.why,
            "numbers": rollout.verdict.numbers,
            "gate": None if rollout.gate is None else msgspec.to_builtins(rollout.gate),
        }
        for rollout in rollouts_table.history(view, policy)
    ]
