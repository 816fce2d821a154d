"""EmbeddedLog: topics of one machine in one SQLite file, for where no broker is.

A record's row number is its lane (one partition of one topic) and its offset in one integer, so an
append goes to the end of its lane's stretch of the table and a read is one range of it:

    lane 3, offset 17  ->  row (3 << 40) + 17
"""

import sqlite3
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..state.sqlite_problem import is_damaged, sqlite_problem
from .ports import Partition, Record

OFFSET_BITS = 40
DEFAULT_PARTITIONS = 4
TRIM_ROWS = 5_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lane (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    first_offset INTEGER NOT NULL DEFAULT 0,
    end_offset INTEGER NOT NULL DEFAULT 0,
    published INTEGER,
    UNIQUE (topic, number)
);
CREATE TABLE IF NOT EXISTS record (
    row INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    value BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionTail:
    """One partition as it stands in the file."""

    id: int
    """Number in the file, the upper bits of its records' rows."""
    partition: Partition
    """Topic and partition number."""
    first: int
    """Offset of the oldest record that is kept."""
    end: int
    """Offset after the newest record."""


def partition_of(key: bytes, partitions: int) -> int:
    """Partition that a key belongs to: CRC-32 (as zlib has it) modulo the number of partitions."""
    return zlib.crc32(key) % partitions


class LogDamaged(ConnectionError):
    """The file cannot be read as a log; waiting does not help."""


class EmbeddedLog:
    """One connection to the file; any number of processes may have one each.

    `durable` says whether a commit waits for the disk (`synchronous=FULL`); readers, which write
    only where they are, need not. Raises ConnectionError where the file cannot be opened, LogDamaged
    where it is none.
    """

    def __init__(self, path: Path, *, durable: bool = True, busy_seconds: float = 10.0) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self.wait_at_most(busy_seconds)
            self._open(busy_seconds)
            self.database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        except sqlite3.Error as problem:
            kind = LogDamaged if is_damaged(problem) else ConnectionError
            raise kind(f"embedded log {sqlite_problem(path, problem)}") from problem
        except OSError as problem:
            raise ConnectionError(f"embedded log {path}: {problem}") from problem

    def _open(self, busy_seconds: float) -> None:
        # The switch to WAL ignores the busy timeout, so two processes that open a new file at
        # once would trip over each other.
        deadline = time.monotonic() + busy_seconds
        while True:
            try:
                self.database.execute("PRAGMA journal_mode=WAL")
                self.database.execute("PRAGMA journal_size_limit=67108864")
                self.database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
                return
            except sqlite3.OperationalError as problem:
                if "locked" not in str(problem) or time.monotonic() > deadline:
                    raise
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                time.sleep(0.02)

    def wait_at_most(self, seconds: float) -> None:
        """Let later statements wait this long for another process's transaction."""
        self.database.execute(f"PRAGMA busy_timeout={max(0, int(seconds * 1000))}")

    def create_topic(self, topic: str, partitions: int = DEFAULT_PARTITIONS) -> None:
        """Create a topic; a topic that exists keeps the number of partitions it has."""
        if partitions < 1:
            raise ValueError(f"partitions: {partitions} of topic {topic}, at least 1 is needed")
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            if not self.lanes([topic]):
                self.database.executemany(
                    "INSERT INTO lane (topic, number) VALUES (?, ?)",
                    [(topic, number) for number in range(partitions)],
                )

    def lanes(self, topics: Sequence[str]) -> list[PartitionTail]:
        """Return the partitions of topics, by topic and number."""
        marks = ",".join("?" * len(topics))
        rows = self.database.execute(
            "SELECT id, topic, number, first_offset, end_offset FROM lane"
            f" WHERE topic IN ({marks}) ORDER BY topic, number",
            tuple(topics),
        ).fetchall()
        return [
            PartitionTail(
                id=lane, partition=Partition(topic=topic, index=number), first=first, end=end
            )
            for lane, topic, number, first, end in rows
        ]

    def append(self, records: Sequence[tuple[str, bytes, bytes]], partitions: int) -> None:
        """Write (topic, key, value) records in one transaction, creating topics that are new."""
        topics = sorted({topic for topic, _, _ in records})
        missing = set(topics) - {lane.partition.topic for lane in self.lanes(topics)}
        for topic in sorted(missing):
            self.create_topic(topic, partitions)
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            of_topic: dict[str, list[PartitionTail]] = {topic: [] for topic in topics}
            ends: dict[int, int] = {}
            for lane in self.lanes(topics):
                of_topic[lane.partition.topic].append(lane)
                ends[lane.id] = lane.end
            rows = []
            for topic, key, value in records:
                lanes = of_topic[topic]
                lane_id = lanes[partition_of(key, len(lanes))].id
                rows.append(((lane_id << OFFSET_BITS) + ends[lane_id], key, value))
                ends[lane_id] += 1
            self.database.executemany("INSERT INTO record VALUES (?, ?, ?)", rows)
            self.database.executemany(
                "UPDATE lane SET end_offset = ? WHERE id = ?",
                [(end, id) for id, end in ends.items()],
            )

    def read(self, lane: PartitionTail, offset: int, limit: int) -> list[Record]:
        """Return at most `limit` records of a lane from an offset on."""
        base = lane.id << OFFSET_BITS
        rows = self.database.execute(
            "SELECT row, key, value FROM record WHERE row >= ? AND row < ? ORDER BY row LIMIT ?",
            (base + offset, base + lane.end, limit),
        )
        return [
            Record(partition=lane.partition, offset=row - base, key=key, value=value)
            for row, key, value in rows
        ]

    def trim(self, partition: Partition, before: int) -> None:
        """Forget the records of a partition below an offset.

        In short transactions, so that writers get in between. Raises ValueError where `before` is
        past the end or the partition does not exist.
        """
        for lane in self.lanes([partition.topic]):
            if lane.partition == partition and before <= lane.end:
                break
        else:
            raise ValueError(f"trim: {partition.topic}[{partition.index}] does not reach {before}")
        base = lane.id << OFFSET_BITS
        for below in [*range(lane.first + TRIM_ROWS, before, TRIM_ROWS), before]:
            with self.database:
                self.database.execute("BEGIN IMMEDIATE")
                self.database.execute(
                    "UPDATE lane SET first_offset = max(first_offset, ?) WHERE id = ?",
                    (below, lane.id),
                )
                self.database.execute(
                    "DELETE FROM record WHERE row >= ? AND row < ?", (base, base + below)
                )

    def close(self) -> None:
        """Close the connection."""
        self.database.close()
