"""Explain chain: what feedback on a session or a reference reaches, for `rlwd explain`."""

from typing import Any

import orjson

from ...streams.state.transaction import Transaction


def explain_attributed(payload: bytes, attribution: str | None) -> dict[str, Any] | None:
    """Return by what right feedback stands with an answer; None where it names the answer.

    What it is about, by which rule of the spec it reaches the answer, with which weight, from how many
    answers before the last one, and for a subagent's answer through which other one.
    """
    if attribution is None:
        return None
    said = orjson.loads(payload)
    reference, how = said.get("reference"), orjson.loads(attribution)
    about = {"reference": reference} if reference else {"session": said.get("session_id")}
    return {
        "about": {"answer": how["of"]} if "of" in how else about,
        **_how(how),
    }


def explain_chain_feedback(
    view: Transaction, policy: str, feedback_id: str
) -> list[dict[str, Any]]:
    """Return feedback on sessions and references of an id, and which answers each reached how."""
    rows = view.execute(
        "SELECT tenant, key, value, kind, replaces, acted, received, topic, partition,"
        ' "offset", stage, reached FROM chain_feedback WHERE policy = ? AND feedback_id = ?'
        " ORDER BY tenant, key, value",
        (policy, feedback_id),
    ).fetchall()
    return [
        {
            "about": {"reference": {"key": key, "value": value}} if key else {"session": value},
            "tenant": tenant,
            "kind": kind,
            "replaces": replaces,
            "acted": acted,
            "received": received,
            "record": f"{topic}/{partition}/{offset}",
            "stage": stage,
            "reached": {name: _how(how) for name, how in orjson.loads(reached).items()},
        }
        for tenant, key, value, kind, replaces, acted, received, topic, partition, offset, stage, reached in rows
    ]


def _how(told: dict[str, Any]) -> dict[str, Any]:
    """Return an attribution with what its record leaves out."""
    return {
        "rule": told["rule"],
        "weight": told.get("weight", 1.0),
        "steps": told.get("steps", 0),
        "through": told.get("through") or None,
    }
