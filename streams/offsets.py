"""Offsets: the only ones resumed from, with the count of every record delivered (CONTRACTS 12, 15, 16)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .source import Partition, Progress
from .transaction import Transaction

OFFSETS = """
CREATE TABLE offsets (
    policy TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    dead_lettered INTEGER NOT NULL DEFAULT 0,
    read_past REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, topic, partition))
"""


class StaleOffset(RuntimeError):
    """Another process moved this partition's offset; what was polled must not be counted here."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """What became of delivered records; they add up to `delivered`."""

    accepted: int = 0
    """Taken in."""
    duplicate: int = 0
    """Known already; nothing changed."""
    dead_lettered: int = 0
    """Refused, with the reason."""

    @property
    def delivered(self) -> int:
        """Records handed over by the source."""
        return self.accepted + self.duplicate + self.dead_lettered

    def add(self, other: "Counts") -> None:
        """Count the other's records too."""
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.dead_lettered += other.dead_lettered


def load_offsets(tx: Transaction, policy: str) -> dict[Partition, int]:
    """Return the next offset of every partition that was ever read."""
    rows = tx.execute("SELECT topic, partition, next FROM offsets WHERE policy = ?", (policy,))
    return {Partition(topic=t, index=p): n for t, p, n in rows.fetchall()}


def advance_offset(
    tx: Transaction,
    policy: str,
    partition: Partition,
    start: int,
    end: int,
    counts: Counts,
    delivered: int,
) -> None:
    """Move one partition from `start` to `end`, with what became of its `delivered` records.

    `delivered` is counted where they came in and the others where they ended, so that the audit
    compares two counts and not one with itself.

    Raises StaleOffset where the store does not stand at `start` any more: a consumer that lost its
    partition cannot move it.
    """
    tx.execute(
        "INSERT INTO offsets (policy, topic, partition, next) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (policy, topic, partition) DO NOTHING",
        (policy, partition.topic, partition.index, start),
    )
    moved = tx.execute(
        "UPDATE offsets SET next = ?, delivered = delivered + ?, accepted = accepted + ?,"
        " duplicate = duplicate + ?, dead_lettered = dead_lettered + ?"
        " WHERE policy = ? AND topic = ? AND partition = ? AND next = ?",
        (
            end,
            delivered,
            counts.accepted,
            counts.duplicate,
            counts.dead_lettered,
            policy,
            partition.topic,
            partition.index,
            start,
        ),
    )
    if moved.rowcount != 1:
        raise StaleOffset(
            f"{partition.topic}[{partition.index}]: offset {start} was moved by another process"
        )


def mark_read_past(
    tx: Transaction, policy: str, progress: Mapping[Partition, Progress], now: float
) -> None:
    """Remember that drained partitions hold nothing received before `now`."""
    for partition, at in progress.items():
        if at.drained:
            tx.execute(
                "INSERT INTO offsets (policy, topic, partition, next, read_past)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (policy, topic, partition)"
                " DO UPDATE SET read_past = MAX(offsets.read_past, excluded.read_past)",
                (policy, partition.topic, partition.index, at.position, now),
            )


def mark_received(
    tx: Transaction, policy: str, received: Iterable[tuple[Partition, float]]
) -> None:
    """Remember the newest receive time read from each partition."""
    for partition, at in received:
        tx.execute(
            "UPDATE offsets SET read_past = MAX(read_past, ?)"
            " WHERE policy = ? AND topic = ? AND partition = ?",
            (at, policy, partition.topic, partition.index),
        )


def watermark(tx: Transaction, policy: str) -> float:
    """Return the receive time that every partition has been read past; 0 where none was read.

    Horizons close by this and never by the daemon's clock alone, so lag censors nobody
    (CONTRACTS 9).
    """
    row = tx.execute("SELECT MIN(read_past) FROM offsets WHERE policy = ?", (policy,)).fetchone()
    return float(row[0] or 0.0)


def record_counts(tx: Transaction, policy: str) -> dict[Partition, Counts]:
    """Return what became of all records ever delivered, by partition."""
    rows = tx.execute(
        "SELECT topic, partition, accepted, duplicate, dead_lettered FROM offsets"
        " WHERE policy = ? ORDER BY topic, partition",
        (policy,),
    )
    return {
        Partition(topic=t, index=p): Counts(accepted=a, duplicate=d, dead_lettered=x)
        for t, p, a, d, x in rows.fetchall()
    }
