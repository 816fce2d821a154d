"""Batch page: one sealed batch, the version that it made, and its answers by key."""

from collections.abc import Mapping
from typing import Any

from ...learner.ledger.passed_over import passed_over
from ...learner.ledger.weighed import weights_of
from ...ops.rollout import candidates_table, rollouts_table
from ...streams.state.transaction import Transaction
from ..charts.words import fate_words
from ..http.query import NotHere, whole_number
from ..lists.answer_list import read_answers

BATCHES = 20
"""Batches of a page of the list."""


def read_batches(view: Transaction, policy: str, before: str = "") -> dict[str, Any]:
    """Return a page of batches, newest first, those before one where it is named; read by key."""
    below = whole_number("before", before) if before else 2**53
    rows = view.execute(
        "SELECT b.batch_id, b.state, b.sealed_at, b.deaths, c.version, c.seconds"
        " FROM batches b LEFT JOIN checkpoints c ON c.policy = b.policy AND c.sequence = b.sequence"
        " WHERE b.policy = ? AND b.batch_id < ? ORDER BY b.batch_id DESC LIMIT ?",
        (policy, below, BATCHES + 1),
    ).fetchall()
    shown = rows[:BATCHES]
    return {
        "batches": [
            {
                "id": number,
                "state": state,
                "tone": {"applied": "good", "sealed": "busy"}.get(state, "bad"),
                "sealed_at": sealed_at,
                "deaths": deaths,
                # A batch that was given up has a checkpoint, and its version is the one before.
                "version": version if state == "applied" else None,
                "seconds": seconds,
                "answers": _count(view, policy, number),
            }
            for number, state, sealed_at, deaths, version, seconds in shown
        ],
        "before": shown[-1][0] if len(rows) > BATCHES else None,
    }


def read_batch(
    view: Transaction, policy: str, name: str, query: Mapping[str, str]
) -> dict[str, Any]:
    """Return the page's content; reads its own answers' rows and no others. Raises NotHere."""
    number = whole_number("batch", name)
    row = view.execute(
        "SELECT b.state, b.hash, b.sealed_at, b.parent_sequence, b.sequence, b.deaths,"
        " LENGTH(b.content), c.version, c.created_at, c.seconds"
        " FROM batches b LEFT JOIN checkpoints c ON c.policy = b.policy AND c.sequence = b.sequence"
        " WHERE b.policy = ? AND b.batch_id = ?",
        (policy, number),
    ).fetchone()
    if row is None:
        raise NotHere(f"batch {number}: there is none of this number.")
    names = ("state", "hash", "sealed_at", "parent", "sequence", "deaths", "bytes")
    known = dict(zip((*names, "version", "made_at", "seconds"), row, strict=True))
    version = known["version"]
    left_out = passed_over(view, policy, number)
    return {
        **known,
        "number": number,
        "let_out": bool(version) and rollouts_table.find(view, policy, version) is not None,
        "yielded": _yielded(view, policy, version) if known["state"] == "applied" else 0.0,
        "fates": [
            {"fate": fate, "words": fate_words(fate), "count": count}
            for fate, count in _fates(view, policy, number)
        ],
        "passed_over": left_out.sentence if left_out.too_old else "",
        "weights": weights_of(view, policy, number),
        "answers": read_answers(view, policy, {**query, "batch": str(number)}),
    }


def batch_of(view: Transaction, policy: str, sequence: int) -> int | None:
    """Return the batch that a checkpoint was made of; None of v0 and of what went back."""
    row = view.execute(
        "SELECT batch_id FROM checkpoints WHERE policy = ? AND sequence = ?", (policy, sequence)
    ).fetchone()
    return None if row is None else row[0]


def _yielded(view: Transaction, policy: str, version: str) -> float:
    """Return for how many seconds the learner paused for people's requests."""
    return candidates_table.find(view, policy, version).metrics.get("yield/seconds", 0.0)


def _count(view: Transaction, policy: str, number: int) -> int:
    row = view.execute(
        "SELECT COUNT(*) FROM episodes WHERE policy = ? AND batch_id = ?", (policy, number)
    ).fetchone()
    return int(row[0])


def _fates(view: Transaction, policy: str, number: int) -> list[tuple[str, int]]:
    rows = view.execute(
        "SELECT fate, COUNT(*) FROM episodes WHERE policy = ? AND batch_id = ?"
        " GROUP BY fate ORDER BY 2 DESC, fate",
        (policy, number),
    )
    return rows.fetchall()
