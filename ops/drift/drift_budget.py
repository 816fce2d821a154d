"""Drift budget: what the versions of the last day added to the distance from the base model."""

import sqlite3
from dataclasses import dataclass

import msgspec

from ...streams.state.transaction import Transaction

DAY_SECONDS = 86400.0


class _Numbers(msgspec.Struct, frozen=True):
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDrift:
    """The day's versions along the lineage, and the budget for them."""

    spent: float
    """Nats a token that they added; one that came nearer adds nothing."""
    budget: float
    """`learner.drift.day_kl`; 0 is none."""
    frees_at: float
    """When so much of it is a day old that there is some left, epoch seconds; 0 where there is some."""

    def held(self, now: float) -> str:
        """Return why no version is made now, for people; empty where one may be."""
        if not self.frees_at:
            return ""
        return (
            f"versions of the last 24 hours added {self.spent:.3g} nats a token on the probe set, and"
            f" learner.drift.day_kl is {self.budget:g}: none is made for {self.frees_at - now:.0f} s"
        )


def day_drift(view: Transaction, policy: str, budget: float, now: float) -> DayDrift:
    """Return what was added since a day before `now`; what a rollback took out does not count."""
    made = _added(view, policy, now) if budget else []
    left = spent = sum(added for _, added in made)
    frees_at = 0.0
    for at, added in made if spent >= budget else ():
        left, frees_at = left - added, at + DAY_SECONDS
        if left < budget:
            break
    return DayDrift(spent=spent, budget=budget, frees_at=frees_at)


def day_problem(view: Transaction, policy: str, budget: float, now: float) -> str:
    """Return why no version is made now; empty where one may be, or an older rlwd left the tables."""
    try:
        return day_drift(view, policy, budget, now).held(now)
    except sqlite3.OperationalError:
        return ""


def _added(view: Transaction, policy: str, now: float) -> list[tuple[float, float]]:
    """Return when each version of the lineage was registered and what it added, oldest first.

    The daemon's clock says when, which jumps of the wall clock do not move; a manifest has the learner's.
    What is registered more than a day from now is of a daemon whose clock was wrong, and says nothing.
    """
    today = (policy, now - DAY_SECONDS, now + DAY_SECONDS)
    rows = view.execute(
        "SELECT k.sequence, k.parent_sequence, c.registered_at, c.record FROM checkpoints k"
        " LEFT JOIN candidates c ON c.policy = k.policy AND c.version = k.version"
        " AND c.sequence = k.sequence AND c.registered_at > ? AND c.registered_at < ?"
        " WHERE k.policy = ? AND k.sequence >= (SELECT MIN(sequence) FROM candidates"
        " WHERE policy = ? AND registered_at > ? AND registered_at < ?) ORDER BY k.sequence",
        (*today[1:], policy, *today),
    ).fetchall()
    known = {row[0]: row[1:] for row in rows}
    sequence, found = max(known, default=None), list[tuple[float, float]]()
    while sequence is not None and sequence in known:
        parent, at, record = known[sequence]
        if record is not None:
            numbers = msgspec.json.decode(record, type=_Numbers).metrics
            found.append((at, max(0.0, numbers.get("drift/kl_added", 0.0))))
        sequence = parent
    return [one for one in reversed(found) if one[1]]
