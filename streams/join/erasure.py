"""Erasure: the content of a person's answers and feedback is forgotten; the counts stay.

The keyed hash of an erased user stays in a list of its own, so that records that are read later, or
again, bring nothing back. Everywhere else a random name takes its place, and counts of users do not
change.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..answers import traced
from ..attribution import chain_table
from ..attribution.chain import ChainKey
from ..attribution.referenced import forget_references, references_of
from ..events.event import Feedback
from ..events.signals import Judged
from ..events.stage import EpisodeStage
from ..log.claim_check import delete_events_of
from ..readings.unread import forget_readings
from ..sessions.contents import forget_contents
from ..sessions.descendants import descendants
from ..sessions.turns_table import forget_turns
from ..state.bulk import by_ids
from ..state.transaction import Transaction, hold_key, row_lock
from . import dead_letters, fate
from .arrival import Arrival
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
    others: int
    """Answers to others that went on from those: their prompts held what was said to this person."""
    versions: tuple[str, ...]
    """Versions that had learned from some of them."""
    batches: tuple[int, ...]
    """Batches that hold some of them."""
    traced: tuple[str, ...] = ()
    """Those of the answers that a tracking server may show."""


def erase(
    tx: Transaction, policy: str, user_hash: str, now: float, folders: Iterable[Path] = ()
) -> ErasureCounts:
    """Forget a person, by the keyed hash that the gateway gave them; erasing again is harmless.

    What waited for its decision or its batch ends as `excluded:erased`; other fates stay, so that
    the ledger still closes. So do answers to others that went on from this person's: their prompts
    begin with what is forgotten. `folders` hold the events that were too large for the log.
    """
    # No poll may be under way: it would not know of the erasure, nor this of its records.
    hold_key(tx, ERASING, alone=True)
    alias = _alias(tx, policy, user_hash, now)
    rows = _hold(tx, policy, "user_hash IN (?, ?)", (user_hash, alias))
    own = [row[0] for row in rows]
    for marks, chunk in by_ids(descendants(tx, policy, own)):
        rows += _hold(tx, policy, f"generation_id IN ({marks})", chunk)
    ids = [row[0] for row in rows]
    learned = {(batch, version) for _, _, batch, version in rows} | _written_back(tx, policy, ids)
    for folder in folders:
        delete_events_of(folder, user_hash, set(ids))
    _forget_derived(tx, policy, ids, now)
    forget_contents(tx, policy, ids)
    forget_turns(tx, policy, ids)
    _forget_on_chains(tx, policy, ids, [user_hash, alias])
    shown = traced.note_forgotten(tx, policy, ids, now)
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
        generations=len(own),
        others=len(ids) - len(own),
        versions=tuple(sorted({version for _, version in learned if version is not None})),
        batches=tuple(sorted({batch for batch, _ in learned if batch is not None})),
        traced=tuple(sorted(shown)),
    )


def _hold(
    tx: Transaction, policy: str, where: str, named: Sequence[str]
) -> list[tuple[str, str, int | None, str | None]]:
    """Return id, stage, batch and version of these generations, and keep others from them."""
    rows = tx.execute(
        "SELECT generation_id, stage, batch_id, trained_version FROM episodes"
        f" WHERE policy = ? AND {where} ORDER BY generation_id" + row_lock(tx),
        (policy, *named),
    ).fetchall()
    return list(rows)


def _written_back(
    tx: Transaction, policy: str, ids: Sequence[str]
) -> set[tuple[int | None, str | None]]:
    """Return batch and version of the answers before these that were sealed with what was written back.

    In a session of several people these were given to somebody else.
    """
    found = set[tuple[int | None, str | None]]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT batch_id, trained_version FROM episodes WHERE policy = ? AND lane LIKE ?"
            " AND generation_id IN (SELECT parent_id FROM episodes WHERE policy = ?"
            f" AND parent_id IS NOT NULL AND generation_id IN ({marks}))",
            (policy, "%hindsight%", policy, *chunk),
        )
        found |= {(batch, version) for batch, version in rows.fetchall()}
    return found


def _forget_on_chains(
    tx: Transaction, policy: str, ids: Sequence[str], people: Sequence[str]
) -> None:
    """Forget what was said of the sessions and references of these generations, and which those are."""
    chains = {chain for each in references_of(tx, policy, ids).values() for chain in each}
    told = chain_table.forget_people(tx, policy, people)
    told += chain_table.forget_about(tx, policy, chains | _sessions(tx, policy, ids), set(ids))
    dead_letters.forget_values(tx, policy, told)
    forget_references(tx, policy, ids)


def _sessions(tx: Transaction, policy: str, ids: Sequence[str]) -> set[ChainKey]:
    """Return the sessions that these generations are in, as feedback names them."""
    found = set[ChainKey]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT DISTINCT COALESCE(tenant, ''), session_id FROM episodes"
            f" WHERE policy = ? AND session_id IS NOT NULL AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        found |= {ChainKey(tenant, "", session) for tenant, session in rows.fetchall()}
    return found


def _forget_derived(tx: Transaction, policy: str, ids: Sequence[str], now: float) -> None:
    """Forget what the records of these generations said of the answers before them."""
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT parent_id, generation_id FROM episodes"
            f" WHERE policy = ? AND parent_id IS NOT NULL AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        tx.executemany(
            "DELETE FROM feedback WHERE policy = ? AND generation_id = ? AND origin = ?",
            [(policy, parent, name) for parent, name in rows],
        )
        forget_readings(tx, policy, rows)
        # What a tool gave back is shown with the answer that called it.
        traced.note_changed(tx, policy, [parent for parent, _ in rows], now)


def erased_users(tx: Transaction, policy: str) -> dict[str, str]:
    """Return the random name of every erased user, by hash."""
    rows = tx.execute("SELECT user_hash, alias FROM erased WHERE policy = ?", (policy,)).fetchall()
    return dict(rows)


def forget_feedback_on(
    tx: Transaction,
    policy: str,
    ids: Sequence[str],
    people: Collection[str],
    erased: Mapping[str, str],
) -> None:
    """Forget the content of new feedback on answers to erased people; `people` are whom it names."""
    names = set(erased.values())
    told = chain_table.forget_people(tx, policy, names.intersection(people))
    dead_letters.forget_values(tx, policy, told)
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            f"SELECT generation_id, user_hash FROM episodes WHERE policy = ?"
            f" AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        for generation_id, user in rows:
            if user in names:
                forget_feedback(tx, policy, generation_id)


def forget_readings_on(
    tx: Transaction,
    policy: str,
    feedback: Mapping[str, Iterable[Arrival]],
    erased: Mapping[str, str],
) -> None:
    """Forget new readings of erased people's messages.

    They were under way when the person was erased, and may be about an answer to somebody else.
    """
    said = [one.event.data for each in feedback.values() for one in each]
    read = [
        (one.generation_id, one.signal.message)
        for one in said
        if isinstance(one, Feedback) and isinstance(one.signal, Judged)
    ]
    names, messages = set(erased.values()), sorted({message for _, message in read})
    theirs = set[str]()
    for marks, chunk in by_ids(messages):
        rows = tx.execute(
            "SELECT generation_id, user_hash FROM episodes WHERE policy = ?"
            f" AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        theirs |= {name for name, user in rows if user in names}
    forget_readings(tx, policy, [one for one in read if one[1] in theirs])


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
