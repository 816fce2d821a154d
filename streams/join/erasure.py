"""Erasure: the content of a person's answers and feedback is forgotten; the counts stay.

The keyed hash of an erased user stays in a list of its own, so that records that are read later, or
again, bring nothing back. Everywhere else a random name takes its place, and counts of users do not
change.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..events.stage import EpisodeStage
from ..log.claim_check import delete_events_of
from ..state.bulk import by_ids
from ..state.transaction import Transaction, hold_key, row_lock
from . import fate
from .contents import forget_contents
from .retention import forget_feedback

ERASED = """
CREATE TABLE erased (
    policy TEXT NOT NULL, user_hash TEXT NOT NULL, alias TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (policy, user_hash))
"""


ERASING = 0x726C7765
"""Key of the lock between erasing and polls: `rlwe`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureCounts:
    """What an erasure found."""

    generations: int
    """Answers to this person."""
    versions: tuple[str, ...]
    """Versions that had learned from some of them."""
    batches: tuple[int, ...]
    """Batches that hold some of them."""


def erase(
    tx: Transaction, policy: str, user_hash: str, now: float, folders: Iterable[Path] = ()
) -> ErasureCounts:
    """Forget a person, by the keyed hash that the gateway gave them; erasing again is harmless.

    What waited for its decision or its batch ends as `excluded:erased`; other fates stay, so that
    the ledger still closes. `folders` hold the events that were too large for the log.
    """
    # No poll may be under way: it would not know of the erasure, nor this of its records.
    hold_key(tx, ERASING, alone=True)
    alias = _alias(tx, policy, user_hash, now)
    rows = tx.execute(
        "SELECT generation_id, stage, batch_id, trained_version FROM episodes"
        " WHERE policy = ? AND user_hash IN (?, ?) ORDER BY generation_id" + row_lock(tx),
        (policy, user_hash, alias),
    ).fetchall()
    ids = [row[0] for row in rows]
    for folder in folders:
        delete_events_of(folder, user_hash, set(ids))
    forget_contents(tx, policy, ids)
    for generation_id in ids:
        forget_feedback(tx, policy, generation_id)
    tx.executemany(
        f"UPDATE episodes SET stage = '{EpisodeStage.CLOSED}', fate = ?"
        " WHERE policy = ? AND generation_id = ?",
        [
            (fate.ERASED, policy, name)
            for name, stage, *_ in rows
            if stage not in (EpisodeStage.SEALED, EpisodeStage.CLOSED)
        ],
    )
    tx.execute(
        "UPDATE episodes SET user_hash = ? WHERE policy = ? AND user_hash = ?",
        (alias, policy, user_hash),
    )
    return ErasureCounts(
        generations=len(ids),
        versions=tuple(sorted({version for *_, version in rows if version is not None})),
        batches=tuple(sorted({batch for _, _, batch, _ in rows if batch is not None})),
    )


def erased_users(tx: Transaction, policy: str) -> dict[str, str]:
    """Return the random name of every erased user, by hash."""
    rows = tx.execute("SELECT user_hash, alias FROM erased WHERE policy = ?", (policy,)).fetchall()
    return dict(rows)


def forget_feedback_on(
    tx: Transaction, policy: str, ids: Sequence[str], erased: Mapping[str, str]
) -> None:
    """Forget the content of new feedback on answers to erased people."""
    names = set(erased.values())
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            f"SELECT generation_id, user_hash FROM episodes WHERE policy = ?"
            f" AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        for generation_id, user in rows:
            if user in names:
                forget_feedback(tx, policy, generation_id)


def known_to_poll(tx: Transaction, policy: str) -> dict[str, str]:
    """Return `erased_users`, and let nobody be erased until the poll's transaction ends."""
    hold_key(tx, ERASING, alone=False)
    return erased_users(tx, policy)


def _alias(tx: Transaction, policy: str, user_hash: str, now: float) -> str:
    tx.execute(
        "INSERT INTO erased (policy, user_hash, alias, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (policy, user_hash) DO NOTHING",
        (policy, user_hash, f"erased-{secrets.token_hex(12)}", now),
    )
    return erased_users(tx, policy)[user_hash]
