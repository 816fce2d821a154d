"""Offsets: the only ones resumed from, with the count of every record delivered (CONTRACTS 12, 15, 16)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..log.ports import Partition, ReadPosition
from ..state.transaction import Transaction

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
OWNERS = "ALTER TABLE offsets ADD COLUMN owner TEXT NOT NULL DEFAULT ''"
"""`owner` is the reader that was assigned the partition last; no other one moves its row."""

GAPS = "ALTER TABLE offsets ADD COLUMN gap INTEGER NOT NULL DEFAULT 0"
"""`gap` counts the offsets that were gone from the log and that an operator accepted as lost."""
REWOUND = "ALTER TABLE offsets ADD COLUMN rewound INTEGER NOT NULL DEFAULT 0"
"""`rewound` counts the offsets that an operator went back by, because the log had lost its end."""

UNREAD = -1
"""`next` of a partition that is known and was never read: it begins where the log begins."""


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


@dataclass(slots=True, kw_only=True)
class PollCounts:
    """What one poll brought of one partition."""

    start: int
    """Where the poll started."""
    end: int
    """Where the next one goes on."""
    delivered: int
    """Records that came; counted where they came in and the others where they ended, so that the
    audit compares two counts and not one with itself."""
    counts: Counts = field(default_factory=Counts)
    """What became of them."""
    newest: float = 0.0
    """Newest receive time among them, epoch seconds."""


def accept_gap(
    tx: Transaction, policy: str, partition: Partition, to: int, *, back: bool = False
) -> int:
    """Go on at an offset that the log holds; return how many are given up, below 0 where it goes back.

    For an operator: the daemon never skips a record by itself (CONTRACTS 15). `back` is for a log that
    lost its end or was made anew: what is read twice is known, and counted as duplicate. Raises
    ValueError for a partition that is not known, and where `to` does not lie on that side.
    """
    row = tx.execute(
        "SELECT next FROM offsets WHERE policy = ? AND topic = ? AND partition = ?",
        (policy, partition.topic, partition.index),
    ).fetchone()
    if row is None:
        raise ValueError(f"{partition.topic}/{partition.index}: was never read")
    # A partition whose first record cannot be read stands at its beginning.
    stands = max(row[0], 0)
    if to == stands or (to < stands) != back or to < 0:
        raise ValueError(
            f"{partition.topic}/{partition.index}: stands at {stands}, so {to} "
            + ("is not back" if back else "gives nothing up; --back goes back where the log did")
        )
    column = "rewound" if back else "gap"
    tx.execute(
        f"UPDATE offsets SET next = ?, {column} = {column} + ?"
        " WHERE policy = ? AND topic = ? AND partition = ?",
        (to, abs(to - stands), policy, partition.topic, partition.index),
    )
    return int(to - stands)


def accepted_gaps(tx: Transaction, policy: str) -> dict[str, int]:
    """Return the offsets given up, by `topic/partition`; empty where none ever were."""
    return _by_partition(tx, policy, "gap")


def rewound_by(tx: Transaction, policy: str) -> dict[str, int]:
    """Return the offsets gone back by, by `topic/partition`; empty where none ever were."""
    return _by_partition(tx, policy, "rewound")


def _by_partition(tx: Transaction, policy: str, column: str) -> dict[str, int]:
    rows = tx.execute(
        f"SELECT topic, partition, {column} FROM offsets WHERE policy = ? AND {column} > 0",
        (policy,),
    )
    return {f"{topic}/{index}": count for topic, index, count in rows.fetchall()}


def load_offsets(tx: Transaction, policy: str) -> dict[Partition, int]:
    """Return the next offset of every partition that was ever read."""
    rows = tx.execute(
        "SELECT topic, partition, next FROM offsets WHERE policy = ? AND next <> ?",
        (policy, UNREAD),
    )
    return {Partition(topic=t, index=p): n for t, p, n in rows.fetchall()}


def know_partitions(tx: Transaction, policy: str, partitions: Iterable[Partition]) -> None:
    """Record that these exist: a partition that is not read yet holds the watermark back."""
    for partition in sorted(partitions):
        tx.execute(
            "INSERT INTO offsets (policy, topic, partition, next) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (policy, topic, partition) DO NOTHING",
            (policy, partition.topic, partition.index, UNREAD),
        )


def claim_partitions(
    tx: Transaction, policy: str, partitions: Iterable[Partition], owner: str
) -> dict[Partition, int]:
    """Make `owner` the only reader that moves these; return the next offsets of those ever read.

    A reader that had them before is refused from here on: it can neither move an offset nor record
    how far it has read (CONTRACTS 16).
    """
    claimed = sorted(partitions)
    for partition in claimed:
        tx.execute(
            "INSERT INTO offsets (policy, topic, partition, next, owner) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (policy, topic, partition) DO UPDATE SET owner = excluded.owner",
            (policy, partition.topic, partition.index, UNREAD, owner),
        )
    known = load_offsets(tx, policy)
    return {partition: known[partition] for partition in claimed if partition in known}


def advance_offset(
    tx: Transaction, policy: str, partition: Partition, tally: PollCounts, owner: str
) -> None:
    """Move one partition over what a poll brought of it.

    Raises StaleOffset where the store does not stand at the poll's start any more, or the partition
    is another's: a consumer that lost it cannot move it.
    """
    where = (policy, partition.topic, partition.index)
    tx.execute(
        "INSERT INTO offsets (policy, topic, partition, next, owner) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (policy, topic, partition) DO NOTHING",
        (*where, tally.start, owner),
    )
    counts = tally.counts
    moved = tx.execute(
        "UPDATE offsets SET next = ?, delivered = delivered + ?, accepted = accepted + ?,"
        " duplicate = duplicate + ?, dead_lettered = dead_lettered + ?,"
        " read_past = CASE WHEN read_past < ? THEN ? ELSE read_past END"
        " WHERE policy = ? AND topic = ? AND partition = ? AND next IN (?, ?) AND owner = ?",
        (
            *(tally.end, tally.delivered, counts.accepted, counts.duplicate, counts.dead_lettered),
            *(tally.newest, tally.newest),
            *(*where, tally.start, UNREAD, owner),
        ),
    )
    if moved.rowcount != 1:
        raise StaleOffset(
            f"{partition.topic}[{partition.index}]: offset {tally.start} was moved by another"
            " process, or the partition is another's now"
        )


def count_dead_lettered(tx: Transaction, policy: str, partition: Partition, count: int) -> None:
    """Count accepted records of a partition as dead-lettered after all."""
    tx.execute(
        "UPDATE offsets SET accepted = accepted - ?, dead_lettered = dead_lettered + ?"
        " WHERE policy = ? AND topic = ? AND partition = ?",
        (count, count, policy, partition.topic, partition.index),
    )


def mark_read_past(
    tx: Transaction, policy: str, progress: Mapping[Partition, ReadPosition], now: float, owner: str
) -> None:
    """Remember that drained partitions hold nothing received before `now`, when their end was asked.

    Only partitions of `owner` are marked: a reader that lost one does not know where it ends.
    """
    for partition in sorted(progress):
        at = progress[partition]
        if at.drained:
            tx.execute(
                "INSERT INTO offsets (policy, topic, partition, next, read_past, owner)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (policy, topic, partition)"
                " DO UPDATE SET read_past = excluded.read_past,"
                " next = CASE WHEN offsets.next = ? THEN excluded.next ELSE offsets.next END"
                " WHERE offsets.read_past < excluded.read_past AND offsets.owner = excluded.owner"
                " AND offsets.next <= excluded.next",
                (
                    *(policy, partition.topic, partition.index, at.position),
                    *(now - at.age_seconds, owner, UNREAD),
                ),
            )


def watermark(tx: Transaction, policy: str) -> float:
    """Return the receive time that every partition has been read past; 0 where one never was.

    Horizons close by this and never by the daemon's clock alone, so lag censors nobody
    (CONTRACTS 9).
    """
    row = tx.execute("SELECT MIN(read_past) FROM offsets WHERE policy = ?", (policy,)).fetchone()
    return float(row[0] or 0.0)


def record_counts(tx: Transaction, policy: str) -> dict[Partition, Counts]:
    """Return what became of all records ever delivered, by partition."""
    rows = tx.execute(
        "SELECT topic, partition, accepted, duplicate, dead_lettered FROM offsets"
        " WHERE policy = ? AND next <> ? ORDER BY topic, partition",
        (policy, UNREAD),
    )
    return {
        Partition(topic=t, index=p): Counts(accepted=a, duplicate=d, dead_lettered=x)
        for t, p, a, d, x in rows.fetchall()
    }
