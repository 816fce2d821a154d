"""Measure: what share of a generation's lines still stands at each horizon, once, as feedback.

Not measured is not zero: a horizon at which nobody looked in time, and lines that are out of sight
or that an agent's later edit replaced, say nothing.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
import structlog

from ...streams.state.transaction import Transaction
from .keep_state import Written, all_written, files_of, forget
from .written_edit import drop_oldest

log = structlog.get_logger()

HORIZONS = (300.0, 3600.0, 43200.0)
"""Seconds after the edit, where neither the call nor a reward spec names any."""
MOST_POSTS = 10_000
"""Most feedback that waits for a gateway; beyond it the oldest is given up."""


def lateness(horizon: float) -> float:
    """Return for how many seconds after a horizon its measurement still counts as one at it."""
    return 60.0 + horizon / 4


def measure_due(tx: Transaction, place: str, horizons: Sequence[float], now: float) -> int:
    """Measure what is due, and queue it as feedback; return how much was queued.

    `place` names the work tree in feedback ids: measured twice, it is the same feedback.
    """
    queued, done = 0, set(drop_oldest(tx))
    if done:
        log.warning("too_many_generations", given_up=len(done))
    for written in all_written(tx):
        age = now - written.at
        said = _said(tx, written.generation_id)
        for horizon in sorted(horizons):
            if horizon in said or age < horizon:
                continue
            fraction = None
            if age <= horizon + lateness(horizon):
                fraction = kept_fraction(tx, written.generation_id)
            if fraction is not None:
                _queue(tx, written, place, horizon, fraction, now)
                queued += 1
            tx.execute(
                "INSERT INTO measured VALUES (?, ?, ?)",
                (written.generation_id, horizon, "nothing" if fraction is None else str(fraction)),
            )
        if age >= max(horizons):
            done.add(written.generation_id)
    forget(tx, done)
    return queued


def kept_fraction(view: Transaction, generation_id: str) -> float | None:
    """Return the share of a generation's lines that stand, of those a person decided about.

    None where there is nothing to decide about, and where more is out of sight than is known: the
    one line of four that a person took says little of the three on another branch.
    """
    standing = away = 0
    for file in files_of(view, generation_id):
        mine = sum(line.counts and line.owner == generation_id for line in file.lines)
        standing, away = (standing, away + mine) if file.away else (standing + mine, away)
    row = view.execute(
        "SELECT COUNT(*) FROM lost WHERE generation_id = ? AND by_agent = 0", (generation_id,)
    ).fetchone()
    known = standing + int(row[0])
    return None if not known or away > known else standing / known


def place_name(path: str) -> str:
    """Return a short name of a work tree that tells nobody its path."""
    return hashlib.blake2b(path.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _said(view: Transaction, generation_id: str) -> set[float]:
    rows = view.execute("SELECT horizon FROM measured WHERE generation_id = ?", (generation_id,))
    return {float(row[0]) for row in rows.fetchall()}


def _queue(
    tx: Transaction, written: Written, place: str, horizon: float, fraction: float, now: float
) -> None:
    name = f"{written.generation_id}:kept:{place}:{horizon:g}"
    body = {
        "feedback_id": name,
        "generation_id": written.generation_id,
        "signal": {"kind": "kept", "fraction": fraction, "horizon_seconds": horizon},
        "time": datetime.fromtimestamp(now, UTC).isoformat(),
    }
    if written.session_id:
        body["session_id"] = written.session_id
    if written.tenant:
        body["tenant"] = written.tenant
    tx.execute(
        "INSERT INTO outbox VALUES (?, ?, ?) ON CONFLICT (feedback_id) DO NOTHING",
        (name, orjson.dumps(body), now),
    )
    tx.execute(
        "DELETE FROM outbox WHERE feedback_id IN (SELECT feedback_id FROM outbox"
        " ORDER BY made DESC, feedback_id LIMIT -1 OFFSET ?)",
        (MOST_POSTS,),
    )
