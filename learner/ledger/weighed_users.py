"""Weighed users: whose sealed answers count less than they would, and by what."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...rewards.trust.agreement import Agreed
from ...streams.state.transaction import Transaction

USERS_OWN = ("pace", "burst", "copies", "one_sided", "machine", "user")
"""The factors of [trust] that are about who decided, and not about whose answers stand beside his."""


@dataclass(slots=True)
class HeldBack:
    """What was sealed of one user."""

    answers: int = 0
    """How many."""
    lost: float = 0.0
    """Answers' worth that the factors took."""
    agreed: Agreed = field(default_factory=Agreed)
    """How far the decisions agree with others'."""
    factors: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By factor, answers that it made less."""


def weighed_users(
    view: Transaction, policy: str, since: float, most: int = 20
) -> list[dict[str, Any]]:
    """Return the users who were held back most, of answers received from `since` on.

    Each with tenant and hash, sealed answers, what they weigh by the factors that are about a user, how
    many answers each of these made less, and for how many standard errors the user's decisions agree
    with others': below 0 they contradict them; None where nothing says.
    """
    rows = view.execute(
        "SELECT e.tenant, e.user_hash, w.factors, w.agreed, w.agreed_variance FROM weighed w"
        " JOIN episodes e ON e.policy = w.policy AND e.generation_id = w.generation_id"
        " WHERE w.policy = ? AND e.received >= ? AND e.user_named = 1 AND e.user_hash IS NOT NULL"
        " ORDER BY e.generation_id",
        (policy, since),
    ).fetchall()
    users = defaultdict[tuple[str, str], HeldBack](HeldBack)
    for tenant, user, written, score, variance in rows:
        held, factors, kept = users[tenant or "", user], msgspec.json.decode(written), 1.0
        for name in USERS_OWN:
            if (by := factors.get(name, 1.0)) < 1.0:
                held.factors[name] += 1
                kept *= by
        held.answers += 1
        held.lost += 1.0 - kept
        held.agreed = held.agreed.with_more(Agreed(score, variance))
    marked = sorted((-one.lost, user) for user, one in users.items() if one.lost > 0.0)
    return [_described(user, users[user]) for _, user in marked[:most]]


def _described(user: tuple[str, str], held: HeldBack) -> dict[str, Any]:
    return {
        "tenant": user[0],
        "user_hash": user[1],
        "answers": held.answers,
        "weigh": held.answers - held.lost,
        "weighed_down_by": dict(sorted(held.factors.items())),
        "agreement": held.agreed.sureness,
    }
