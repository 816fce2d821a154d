"""Served times: how long it took from what people said to the first answer that it helped to make."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...learner.candidate import sequence_of
from ...streams.answers.answer_tallies import answer_counts
from ...streams.state.transaction import Transaction

Times = NDArray[np.float64]
"""Epoch seconds, or seconds."""


class _Taught(NamedTuple):
    """The times of the feedback that one batch taught a version."""

    received: Times
    sealed: float
    made: float
    sequence: int


def event_to_served(
    view: Transaction, policy: str, first: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return quantiles of the time from feedback to the first answer it helped to make.

    For each trained feedback, from its receipt to the first generation that its version served, on
    whichever variant (CONTRACTS 11), which `first` has by version where it was counted; `parts` are means of the three stretches on the way. Versions that
    nobody met are not in these: a newer one took their place, or the gate refused them. `unmet` counts
    their feedback, and `p50_any` is the middle of all that reached people, in its own version or in one
    that went on from it.
    """
    taught = _taught(view, policy)
    if first is None:
        first = answer_counts(view, policy).first
    own, reached = _first_answers(view, policy, first)
    served = [one for one in taught if one.sequence in own]
    totals = _joined([own[one.sequence] - one.received for one in served])
    count = totals.size
    any_served = _joined(
        [reached[o.sequence] - o.received for o in taught if o.sequence in reached]
    )
    found: dict[str, Any] = {
        "count": count,
        "p50": _quantile(totals, 0.5),
        "p95": _quantile(totals, 0.95),
        "parts": {},
        "unmet": sum(one.received.size for one in taught) - count,
        "p50_any": _quantile(any_served, 0.5),
    }
    if not count:
        return found
    waited = sum(float(np.sum(one.sealed - one.received)) for one in served)
    learned = sum((one.made - one.sealed) * one.received.size for one in served)
    gated = sum((own[one.sequence] - one.made) * one.received.size for one in served)
    parts = {
        "waiting_for_batch": waited / count,
        "learning": learned / count,
        "gate_and_first_answer": gated / count,
    }
    return found | {"parts": parts}


def _taught(view: Transaction, policy: str) -> list[_Taught]:
    """Return what each batch taught. Batches and checkpoints are read once, and not with each answer.

    CROSS JOIN: along the index of batches, as a database may not choose by itself.
    """
    rows = view.execute(
        "SELECT e.batch_id, e.trained_version, f.received FROM episodes e CROSS JOIN feedback f"
        " WHERE e.policy = ? AND e.batch_id IS NOT NULL AND e.fate = 'trained'"
        " AND f.policy = ? AND f.generation_id = e.generation_id AND f.origin = ''",
        (policy, policy),
    ).fetchall()
    heard = defaultdict[tuple[int, str], list[float]](list)
    for batch_id, version, received in rows:
        heard[batch_id, version].append(received)
    sealed: dict[int, float] = dict(
        view.execute(
            "SELECT batch_id, sealed_at FROM batches WHERE policy = ?", (policy,)
        ).fetchall()
    )
    made = view.execute(
        "SELECT batch_id, version, created_at, sequence FROM checkpoints"
        " WHERE policy = ? AND batch_id IS NOT NULL",
        (policy,),
    ).fetchall()
    return [
        _Taught(times[times <= sealed[batch_id]], sealed[batch_id], at, sequence)
        for batch_id, version, at, sequence in made
        if (batch_id, version) in heard and batch_id in sealed
        for times in [np.array(heard[batch_id, version])]
    ]


def _joined(parts: Sequence[Times]) -> Times:
    """Return all of these, the least first."""
    return np.sort(np.concatenate(parts)) if parts else np.empty(0)


def _first_answers(
    view: Transaction, policy: str, first: Mapping[str, float]
) -> tuple[dict[int, float], dict[int, float]]:
    """Return when each version first answered somebody, and when it or one that went on from it did."""
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


def _quantile(ordered: Times, share: float) -> float | None:
    if not ordered.size:
        return None
    return float(ordered[min(int(share * ordered.size), ordered.size - 1)])
