"""Dead letter: a record that was refused, with the reason and the bytes as they came (CONTRACTS 4).

Rows are written in the poll's own transaction, then forwarded to the dead-letter topic at least
once. A large record stays in the database; the topic gets its digest and its beginning.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ..attribution.chain_table import ChainRow
from ..log.ports import EventSink, Partition
from ..state.crash_points import CrashPoint, crash_here
from ..state.store import Store
from ..state.transaction import Transaction

DEAD_LETTERS = """
CREATE TABLE dead_letters (
    policy TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    reason TEXT NOT NULL, value BLOB NOT NULL, at REAL NOT NULL, forwarded INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, topic, partition, "offset"));
CREATE INDEX dead_letters_unsent ON dead_letters (policy, forwarded)
"""

FORWARD_SECONDS = 5.0
TOPIC_BYTES = 64 * 1024
"""Most bytes of one record that the dead-letter topic repeats."""


class DeadLetterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the dead-letter topic holds for one refused record; its key is the record's place."""

    record: str
    """Where the record stood: `topic/partition/offset`. Sent twice, it is still one dead letter."""
    reason: str
    """Why it was refused, naming the field at fault."""
    bytes: int
    """Length of the record."""
    sha256: str
    """Digest of the whole record, hex."""
    value_base64: str
    """The record's first 64 kB as they came; the database has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One refused record."""

    partition: Partition
    """Where it stood."""
    offset: int
    """Its position there."""
    reason: str
    """Why it was refused, naming the field at fault."""
    value: bytes
    """The record as it came."""


def put_dead_letter(tx: Transaction, policy: str, letter: DeadLetter, now: float) -> bool:
    """Write one dead letter; return False where this position is there already."""
    written = tx.execute(
        'INSERT INTO dead_letters (policy, topic, partition, "offset", reason, value, at)'
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            policy,
            letter.partition.topic,
            letter.partition.index,
            letter.offset,
            letter.reason,
            letter.value,
            now,
        ),
    )
    return written.rowcount == 1


def bury_on_chain(tx: Transaction, policy: str, row: ChainRow, reason: str, now: float) -> None:
    """Dead-letter feedback on a chain."""
    letter = DeadLetter(
        partition=row.partition, offset=row.offset, reason=reason, value=row.payload
    )
    put_dead_letter(tx, policy, letter, now)


def dead_letter_orphan(
    tx: Transaction, policy: str, generation_id: str, now: float
) -> list[Partition]:
    """Dead-letter all feedback on a generation that never came; return where each record stood."""
    rows = tx.execute(
        'SELECT topic, partition, "offset", payload FROM feedback'
        " WHERE policy = ? AND generation_id = ? AND dead = 0",
        (policy, generation_id),
    ).fetchall()
    for topic, index, offset, payload in rows:
        letter = DeadLetter(
            partition=Partition(topic=topic, index=index),
            offset=offset,
            reason=f"unknown_generation: {generation_id} never came within its horizon",
            value=bytes(payload),
        )
        put_dead_letter(tx, policy, letter, now)
    tx.execute(
        "UPDATE feedback SET dead = 1 WHERE policy = ? AND generation_id = ?",
        (policy, generation_id),
    )
    return [Partition(topic=topic, index=index) for topic, index, _, _ in rows]


def unforwarded(tx: Transaction, policy: str, limit: int = 100) -> list[DeadLetter]:
    """Return dead letters that are not on their topic yet, oldest first."""
    rows = tx.execute(
        'SELECT topic, partition, "offset", reason, value FROM dead_letters'
        " WHERE policy = ? AND forwarded = 0 ORDER BY at LIMIT ?",
        (policy, limit),
    )
    return [
        DeadLetter(partition=Partition(topic=t, index=p), offset=o, reason=r, value=bytes(v))
        for t, p, o, r, v in rows.fetchall()
    ]


def forward_dead_letters(store: Store, policy: str, sink: EventSink, topic: str) -> int:
    """Send dead letters to their topic; return how many. A crash in between sends them again.

    Raises what the sink raises where the log does not take them.
    """
    with store.reading() as view:
        letters = unforwarded(view, policy)
    if not letters:
        return 0
    for letter in letters:
        key = f"{letter.partition.topic}/{letter.partition.index}/{letter.offset}"
        sink.send(topic, key, _as_record(key, letter))
    sink.flush(FORWARD_SECONDS)
    crash_here(CrashPoint.FORWARDED)
    with store.transaction() as tx:
        mark_forwarded(tx, policy, letters)
    return len(letters)


def mark_forwarded(tx: Transaction, policy: str, letters: list[DeadLetter]) -> None:
    """Remember that the topic has these."""
    tx.executemany(
        "UPDATE dead_letters SET forwarded = 1"
        ' WHERE policy = ? AND topic = ? AND partition = ? AND "offset" = ?',
        [(policy, x.partition.topic, x.partition.index, x.offset) for x in letters],
    )


def _as_record(key: str, letter: DeadLetter) -> bytes:
    record = DeadLetterRecord(
        record=key,
        reason=letter.reason,
        bytes=len(letter.value),
        sha256=hashlib.sha256(letter.value).hexdigest(),
        value_base64=base64.b64encode(letter.value[:TOPIC_BYTES]).decode(),
    )
    return msgspec.json.encode(record)


def forget(tx: Transaction, policy: str, before: float) -> None:
    """Forget the bytes of dead letters forwarded and written before then; their reasons stay."""
    tx.execute(
        "UPDATE dead_letters SET value = ? WHERE policy = ? AND at < ? AND forwarded = 1"
        " AND LENGTH(value) > 0",
        (b"", policy, before),
    )


def forget_values(tx: Transaction, policy: str, places: Iterable[tuple[str, int, int]]) -> None:
    """Forget the bytes of the dead letters that stood at these topics, partitions and offsets."""
    tx.executemany(
        "UPDATE dead_letters SET value = ?"
        ' WHERE policy = ? AND topic = ? AND partition = ? AND "offset" = ?',
        [(b"", policy, *place) for place in places],
    )
