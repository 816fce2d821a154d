"""Served times: how long it took from what people said to the first answer that it helped to make."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...learner.candidate import sequence_of
from ...streams.state.transaction import Transaction


class _Trained(NamedTuple):
    """One trained feedback's times."""

    received: float
    sealed: float
    made: float
    sequence: int


def event_to_served(view: Transaction, policy: str) -> dict[str, Any]:
    """Return quantiles of the time from feedback to the first answer it helped to make.

    For each trained feedback, from its receipt to the first generation that its version served, on
    whichever variant (CONTRACTS 11); `parts` are means of the three stretches on the way. Versions that
    nobody met are not in these: a newer one took their place, or the gate refused them. `unmet` counts
    their feedback, and `p50_any` is the middle of all that reached people, in its own version or in one
    that went on from it.
    """
    rows = _trained(view, policy)
    own, reached = _first_answers(view, policy)
    served = [(one, own[one.sequence]) for one in rows if one.sequence in own]
    any_served = sorted(
        reached[one.sequence] - one.received for one in rows if one.sequence in reached
    )
    found: dict[str, Any] = {
        "count": len(served),
        "p50": None,
        "p95": None,
        "parts": {},
        "unmet": len(rows) - len(served),
        "p50_any": _quantile(any_served, 0.5),
    }
    if not served:
        return found
    totals, count = sorted(first - one.received for one, first in served), len(served)
    return found | {
        "p50": _quantile(totals, 0.5),
        "p95": _quantile(totals, 0.95),
        "parts": {
            "waiting_for_batch": sum(one.sealed - one.received for one, _ in served) / count,
            "learning": sum(one.made - one.sealed for one, _ in served) / count,
            "gate_and_first_answer": sum(first - one.made for one, first in served) / count,
        },
    }


def _trained(view: Transaction, policy: str) -> list[_Trained]:
    rows = view.execute(
        "SELECT f.received, b.sealed_at, c.created_at, c.sequence FROM episodes e"
        " JOIN feedback f ON f.policy = e.policy AND f.generation_id = e.generation_id"
        " JOIN batches b ON b.policy = e.policy AND b.batch_id = e.batch_id"
        " JOIN checkpoints c ON c.policy = e.policy AND c.version = e.trained_version"
        "   AND c.batch_id = e.batch_id"
        " WHERE e.policy = ? AND e.fate = 'trained' AND f.received <= b.sealed_at"
        " AND f.origin = ''",
        (policy,),
    ).fetchall()
    return [_Trained(*row) for row in rows]


def _first_answers(view: Transaction, policy: str) -> tuple[dict[int, float], dict[int, float]]:
    """Return when each version first answered somebody, and when it or one that went on from it did."""
    first: Mapping[str, float] = dict(
        view.execute(
            "SELECT version, MIN(received) FROM episodes WHERE policy = ? AND received IS NOT NULL"
            " AND fate <> 'excluded:shadow' GROUP BY version",
            (policy,),
        ).fetchall()
    )
    rows = view.execute(
        "SELECT sequence, parent_sequence, version, batch_id FROM checkpoints WHERE policy = ?"
        " ORDER BY sequence DESC",
        (policy,),
    ).fetchall()
    own = {
        sequence: first[version]
        for sequence, _, version, _ in rows
        if version in first and sequence_of(version) == sequence
    }
    return own, _reached(rows, own)


def _reached(
    rows: Sequence[tuple[int, int | None, str, int | None]], own: Mapping[int, float]
) -> dict[int, float]:
    """Return by checkpoint the first answer of it or of its descendants; `rows` are newest first.

    What a rollback went back to is what goes on, and not what it left (`Lineage.updates`).
    """
    reached = dict(own)
    for sequence, parent, version, batch_id in rows:
        if sequence not in reached:
            continue
        back = sequence_of(version)
        before = back if back < sequence and batch_id is None else parent
        if before is not None:
            reached[before] = min(reached.get(before, reached[sequence]), reached[sequence])
    return reached


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
