"""Explain: one generation's whole story, from its record to the versions that learned from it."""

from datetime import UTC, datetime
from typing import Any

import orjson

from ...learner.ledger.weighed import weight_of
from ...ops.rollout import rollouts_table
from ...streams.state.transaction import Transaction
from .explain_chain import explain_attributed, explain_chain_feedback
from .explain_session import SessionPlace, explain_session


def explain(view: Transaction, policy: str, generation_id: str) -> dict[str, Any]:
    """Return what is known of a generation, in the order in which it happened.

    Named by the id of feedback on a session or a reference, that feedback's: which answers it reached.
    Raises ValueError where neither it nor feedback on it ever came.
    """
    story = answer_story(view, policy, generation_id)
    if story is None:
        on_chains = explain_chain_feedback(view, policy, generation_id)
        if on_chains:
            return {"feedback_id": generation_id, "on_chains": on_chains}
        raise ValueError(f"{generation_id}: no such generation, and no feedback on it")
    return {**story, "served_by": _serving(view, policy, story["trained_version"])}


def answer_story(view: Transaction, policy: str, generation_id: str) -> dict[str, Any] | None:
    """Return the same of one generation, but for who was served what it taught: read by keys alone.

    None where neither the generation nor feedback on it ever came.
    """
    row = view.execute(
        "SELECT stage, fate, received, segment, variant, version, salt, topic, partition,"
        ' "offset", reward, parts, spec_version, revision, scored_at, batch_id, trained_version,'
        " late, lane, tenant, session_id, parent_id, link, history FROM episodes WHERE policy = ? AND generation_id = ?",
        (policy, generation_id),
    ).fetchone()
    if row is None:
        return None
    (stage, fate, received, segment, variant, version, salt, topic, partition, offset) = row[:10]
    (reward, parts, spec, revision, scored_at, batch_id, trained, late, lane) = row[10:19]
    return {
        "generation_id": generation_id,
        "fate": fate,
        "stage": stage,
        "served": {
            "at": _time(received),
            "version": version,
            "variant": variant,
            "experiment": salt,
            "segment": segment,
            "record": None if topic is None else f"{topic}/{partition}/{offset}",
        },
        "session": explain_session(view, policy, generation_id, SessionPlace._make(row[19:])),
        "feedback": _feedback(view, policy, generation_id),
        "late_feedback": late,
        "reward": {
            "value": reward,
            "parts": None if parts is None else orjson.loads(parts),
            "spec": spec,
            "revision": revision,
            "scored_at": _time(scored_at),
        },
        "weight": weight_of(view, policy, generation_id),
        "batch": _batch(view, policy, batch_id),
        "lane": lane,
        "trained_version": trained,
    }


def _feedback(view: Transaction, policy: str, generation_id: str) -> list[dict[str, Any]]:
    rows = view.execute(
        'SELECT feedback_id, tenant, acted, received, payload, topic, partition, "offset", dead,'
        " origin, attribution"
        " FROM feedback WHERE policy = ? AND generation_id = ? ORDER BY received, feedback_id",
        (policy, generation_id),
    ).fetchall()
    return [
        {
            "feedback_id": name,
            "tenant": tenant,
            "acted": _time(acted),
            "received": _time(received),
            "signal": orjson.loads(payload)["signal"],
            "replaces": orjson.loads(payload).get("replaces"),
            "record": f"{topic}/{partition}/{offset}",
            "dead_lettered": bool(dead),
            "derived_from": origin or None,
            "attributed": explain_attributed(payload, attribution),
        }
        for (name, tenant, acted, received, payload, topic, partition, offset, dead, *more) in rows
        for origin, attribution in (more,)
    ]


def _batch(view: Transaction, policy: str, batch_id: int | None) -> dict[str, Any] | None:
    if batch_id is None:
        return None
    row = view.execute(
        "SELECT state, hash, sealed_at, parent_sequence, sequence, deaths FROM batches"
        " WHERE policy = ? AND batch_id = ?",
        (policy, batch_id),
    ).fetchone()
    if row is None:
        return {"batch": batch_id, "state": "lost from the tables; the manifest names it"}
    state, digest, sealed_at, parent, sequence, deaths = row
    return {
        "batch": batch_id,
        "state": state,
        "hash": digest,
        "sealed_at": _time(sealed_at),
        "parent_sequence": parent,
        "sequence": sequence,
        "learner_deaths": deaths,
    }


def _serving(view: Transaction, policy: str, version: str | None) -> list[dict[str, Any]]:
    """Return the variants under which a version was served, and what became of it."""
    if version is None:
        return []
    rows = view.execute(
        "SELECT variant, COUNT(*), MIN(received), MAX(received) FROM episodes"
        " WHERE policy = ? AND version = ? AND received IS NOT NULL"
        " GROUP BY variant ORDER BY MIN(received)",
        (policy, version),
    ).fetchall()
    rollout = rollouts_table.find(view, policy, version)
    stage = None if rollout is None else str(rollout.stage)
    return [
        {
            "version": version,
            "variant": variant,
            "generations": count,
            "first": _time(first),
            "last": _time(last),
            "rollout": stage,
        }
        for variant, count, first, last in rows
    ]


def _time(at: float | None) -> str | None:
    return (
        None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    )
