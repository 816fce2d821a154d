"""Chains by hand: feedback that names a session or a ticket, and what it reaches in a ledger."""

from typing import Any

import msgspec
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback

from rlwd.rewards.spec.attribution_rules import Discounted
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.rewards.spec.term import CostTable
from rlwd.streams.events.generation import NamedReference
from rlwd.streams.events.signals import Signal
from rlwd.streams.join.joiner import Joiner

RULED = msgspec.structs.replace(
    SPEC,
    decisive=("accepted", "rejected", "outcome"),
    parts={"accepted": 1.0, "outcome": 1.0},
    attribution={"outcome": Discounted(discount=0.5), "resolved": "chain"},
)
"""Spreads outcomes at a discount, and settled matters over the chain."""
SPREADING = msgspec.structs.replace(
    RULED,
    name="spreading",
    decisive=("accepted", "rejected", "outcome", "rated"),
    parts={"accepted": 1.0, "outcome": 1.0, "rated": 1.0},
    spread={"outcome@merged": Discounted(discount=0.5), "rated": "chain"},
)
"""Lets a merge, and a rating, of one answer belong to the chain up to it."""
SPENDING = msgspec.structs.replace(
    RULED,
    name="spending",
    costs={
        "calls": CostTable(
            of="effort", weight=0.5, scale=20.0, over="chain", options={"k": 0.1, "calls": 1.0}
        ),
        "turns": CostTable(
            of="effort",
            weight=0.25,
            scale=8.0,
            over=Discounted(discount=0.5),
            options={"k": 0.0, "turns": 1.0, "answer": 0.0, "call_tokens": 0.0},
        ),
    },
    range=(-0.75, 1.0),
)
"""Takes what a chain took off each of its answers: wholly, and at a discount."""


def with_spec(ledger: Ledger, spec: Spec) -> Ledger:
    """Return a ledger that joins by another spec from here on."""
    ledger.joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    return ledger


def on_session(name: str, signal: Signal, at: float, session: str = "s", **more: Any) -> bytes:
    """Write feedback on a session."""
    raw = feedback(name, "", signal, at, **more)
    return raw.replace(b'"session_id":"s"', b'"session_id":"%s"' % session.encode())


def on_ticket(name: str, signal: Signal, at: float, ticket: str = "T1", **more: Any) -> bytes:
    """Write feedback on a ticket."""
    return feedback(
        name, "", signal, at, reference=NamedReference(key="ticket", value=ticket), **more
    )


def reach(ledger: Ledger) -> dict[str, list[tuple[str, float]]]:
    """Return by answer the kind and weight of what reaches it."""
    with ledger.store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, kind, attribution FROM feedback WHERE attribution IS NOT NULL"
            " AND dead = 0 ORDER BY generation_id, feedback_id"
        ).fetchall()
    found: dict[str, list[tuple[str, float]]] = {}
    for name, kind, held in rows:
        found.setdefault(name, []).append((kind, msgspec.json.decode(held).get("weight", 1.0)))
    return found


def rewards(ledger: Ledger) -> list[tuple[float | None, str]]:
    with ledger.store.reading() as view:
        rows = view.execute("SELECT reward, fate FROM episodes ORDER BY generation_id").fetchall()
    return [tuple(row) for row in rows]
