"""Traced: answers that a tracking server shows as traces, and what it has not been told of them.

A row is written in the transaction that decided about its answer, and stays until the answer's content
is forgotten: what is forgotten here is known by it to be forgotten there.
"""

import hashlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from ..events.stage import EpisodeStage
from ..state.bulk import by_ids
from ..state.transaction import Transaction, row_lock
from .answer_rows import LATEST

TRACED = """
CREATE TABLE traced (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL,
    waits INTEGER NOT NULL, changes INTEGER NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (policy, generation_id));
CREATE INDEX traced_waits ON traced (policy, waits, since) WHERE waits > 0
"""
"""`waits` is a Waits, `changes` counts what happened to the answer, `since` is when that was last."""

NEGATIVE = 0.5
"""An answer that is worth less is told besides the sample, and first."""


class Waits(IntEnum):
    """What a row waits for; the greatest is done first."""

    NOTHING = 0
    """All is told."""
    SAMPLED = 1
    """To be told, as one of the sample."""
    NEGATIVE = 2
    """To be told, since the answer is worth little."""
    FORGOTTEN = 3
    """To be deleted over there; never dropped."""


class TracedRow(NamedTuple):
    """An answer that waits."""

    generation_id: str
    """Its id."""
    waits: Waits
    """For what."""
    changes: int
    """How often it had changed when it was read."""


def note_decided(
    tx: Transaction, policy: str, ids: Iterable[str], share: float, now: float
) -> None:
    """Let answers wait that are decided and held: the share of the sessions, and all negatives.

    What was told before waits again, whatever it is worth now.
    """
    found: list[tuple[str, Waits]] = []
    for marks, chunk in by_ids(sorted(ids)):
        rows = tx.execute(
            f"SELECT e.generation_id, {LATEST}, e.tenant, e.session_id, t.waits FROM episodes e"
            " LEFT JOIN traced t ON t.policy = e.policy AND t.generation_id = e.generation_id"
            f" WHERE e.policy = ? AND e.generation_id IN ({marks}) AND e.content IS NOT NULL"
            f" AND (e.stage = '{EpisodeStage.CLOSED}' OR e.reward IS NOT NULL"
            " OR t.waits IS NOT NULL)",
            (policy, *chunk),
        )
        for name, reward, tenant, session, before in rows.fetchall():
            negative = reward is not None and reward < NEGATIVE
            if negative or before is not None or _drawn(f"{tenant}\0{session}") < share:
                found.append((name, Waits.NEGATIVE if negative else Waits.SAMPLED))
    tx.executemany(
        "INSERT INTO traced (policy, generation_id, waits, changes, since) VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT (policy, generation_id) DO UPDATE SET changes = traced.changes + 1,"
        f" since = excluded.since, waits = CASE WHEN traced.waits = {Waits.FORGOTTEN}"
        " THEN traced.waits ELSE excluded.waits END",
        [(policy, name, int(waits), now) for name, waits in found],
    )


def note_forgotten(tx: Transaction, policy: str, ids: Sequence[str], now: float) -> list[str]:
    """Let those of these answers wait for their deletion that may have been told; return them."""
    return _wait(tx, policy, ids, Waits.FORGOTTEN, now)


def note_changed(tx: Transaction, policy: str, ids: Sequence[str], now: float) -> list[str]:
    """Let those of these answers be told again that may have been told; return them."""
    return _wait(tx, policy, ids, Waits.NEGATIVE, now)


def _wait(tx: Transaction, policy: str, ids: Sequence[str], waits: Waits, now: float) -> list[str]:
    found: list[str] = []
    for marks, chunk in by_ids(sorted(ids)):
        where = f" WHERE policy = ? AND generation_id IN ({marks}) AND waits <> {Waits.FORGOTTEN}"
        rows = tx.execute(f"SELECT generation_id FROM traced{where}", (policy, *chunk)).fetchall()
        found += [name for (name,) in rows]
        tx.execute(
            f"UPDATE traced SET waits = ?, changes = changes + 1, since = ?{where}",
            (int(waits), now, policy, *chunk),
        )
    return found


def waiting(view: Transaction, policy: str, limit: int) -> list[TracedRow]:
    """Return what waits: deletions, then negatives, then the rest; of each the oldest first."""
    rows = view.execute(
        "SELECT generation_id, waits, changes FROM traced WHERE policy = ? AND waits > 0"
        " ORDER BY waits DESC, since, generation_id LIMIT ?",
        (policy, limit),
    ).fetchall()
    return [TracedRow(name, Waits(waits), changes) for name, waits, changes in rows]


def settle(tx: Transaction, policy: str, told: Iterable[TracedRow], most: int) -> tuple[int, int]:
    """Let rows go that were told and have not changed since; return how many wait, and were dropped.

    Of more than `most` that wait to be told, those that have waited longest are dropped.
    """
    for name, waits, changes in sorted(told):
        of = (policy, name, changes)
        if waits is Waits.FORGOTTEN:
            tx.execute(
                "DELETE FROM traced WHERE policy = ? AND generation_id = ? AND changes = ?", of
            )
        else:
            tx.execute(
                f"UPDATE traced SET waits = {Waits.NOTHING}"
                " WHERE policy = ? AND generation_id = ? AND changes = ?",
                of,
            )
    (count,) = tx.execute(
        "SELECT COUNT(*) FROM traced WHERE policy = ? AND waits > 0", (policy,)
    ).fetchone()
    if count <= most:
        return count, 0
    rows = tx.execute(
        "SELECT generation_id FROM traced WHERE policy = ?"
        f" AND waits IN ({Waits.SAMPLED}, {Waits.NEGATIVE})"
        " ORDER BY since, generation_id LIMIT ?" + row_lock(tx, skip=True),
        (policy, count - most),
    ).fetchall()
    # They may have been told once, so the rows stay: what is forgotten must be deleted there.
    tx.executemany(
        f"UPDATE traced SET waits = {Waits.NOTHING} WHERE policy = ? AND generation_id = ?",
        [(policy, name) for (name,) in rows],
    )
    return count - len(rows), len(rows)


def _drawn(session: str) -> float:
    """Return a session's place in [0, 1): the same wherever and whenever it is asked."""
    drawn = hashlib.blake2b(session.encode(), digest_size=8, person=b"rlwd.traced").digest()
    return int.from_bytes(drawn) / 2**64
