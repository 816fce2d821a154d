"""EmbeddedSource and EmbeddedSink: the event log of one machine, without a broker."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .log_file import DEFAULT_PARTITIONS, EmbeddedLog, PartitionTail
from .ports import OffsetOutOfRange, Partition, ReadPosition, Record, Resume

__all__ = ["EmbeddedLog", "EmbeddedSink", "EmbeddedSource"]

MAX_RECORD_BYTES = 1_048_576
"""Kafka's default too, so that what fits here fits there."""
LOOK_SECONDS = 0.02


class EmbeddedSink:
    """Writes records to an embedded log; each flush is one durable transaction.

    Any thread may send while another one flushes. What a failed flush did not write stays queued,
    and the next one tries again.
    """

    def __init__(
        self,
        path: Path,
        *,
        partitions: int = DEFAULT_PARTITIONS,
        max_record_bytes: int = MAX_RECORD_BYTES,
        max_queued_bytes: int = 64 * 1_048_576,
    ) -> None:
        self.partitions, self.max_record_bytes = partitions, max_record_bytes
        self.max_queued_bytes = max_queued_bytes
        self._log = EmbeddedLog(path)
        self._queue: list[tuple[str, bytes, bytes]] = []
        self._queued_bytes = 0
        self._queue_lock, self._write_lock = threading.Lock(), threading.Lock()

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Queue one record; records of one key stay in order.

        Raises ValueError where the record is too large, ConnectionError where the queue is full.
        """
        name = key.encode()
        size = len(name) + len(value)
        if size > self.max_record_bytes:
            raise ValueError(
                f"record of {size} bytes for {topic} is over the limit of {self.max_record_bytes}"
            )
        with self._queue_lock:
            if self._queued_bytes + size > self.max_queued_bytes:
                raise ConnectionError(
                    f"embedded log {self._log.path}: {len(self._queue)} records are queued and not"
                    " flushed; the queue is full"
                )
            self._queue.append((topic, name, value))
            self._queued_bytes += size

    def flush(self, timeout_seconds: float) -> None:
        """Return once all that was sent is on disk; raise ConnectionError where it cannot be."""
        deadline = time.monotonic() + timeout_seconds
        if not self._write_lock.acquire(timeout=timeout_seconds):
            raise ConnectionError(f"embedded log {self._log.path}: another flush takes too long")
        try:
            with self._queue_lock:
                batch, self._queue = self._queue, []
            if not batch:
                return
            written = False
            try:
                self._log.wait_at_most(deadline - time.monotonic())
                self._log.append(batch, self.partitions)
                written = True
            finally:
                with self._queue_lock:
                    if written:
                        self._queued_bytes -= sum(len(key) + len(value) for _, key, value in batch)
                    else:
                        self._queue[:0] = batch
        except sqlite3.Error as problem:
            raise ConnectionError(
                f"embedded log {self._log.path}: {len(batch)} records not written: {problem}"
            ) from problem
        finally:
            self._write_lock.release()

    def close(self) -> None:
        """Let go of the log; what was not flushed is gone."""
        self._log.close()


class EmbeddedSource:
    """Reads topics of an embedded log; all partitions are this reader's.

    Topics that do not exist yet are created, so that their emptiness can be seen. A partition whose
    offset from the store is outside the log raises OffsetOutOfRange once and then stands still,
    while the others go on, until `seek` gives it an offset that the log holds. Not thread-safe.
    """

    def __init__(
        self,
        path: Path,
        topics: Sequence[str],
        resume: Resume,
        *,
        partitions: int = DEFAULT_PARTITIONS,
    ) -> None:
        self._topics, self._resume = tuple(topics), resume
        self._log = EmbeddedLog(path, durable=False)
        for topic in self._topics:
            self._log.create_topic(topic, partitions)
        self._positions: dict[Partition, int] = {}
        self._lanes: dict[Partition, PartitionTail] = {}
        self._lost: dict[Partition, OffsetOutOfRange] = {}
        self._unreported: list[OffsetOutOfRange] = []
        self._turn = 0

    @property
    def away(self) -> None:
        """A file on this machine is never away."""
        return

    def poll(self, timeout_seconds: float, limit: int) -> list[Record]:
        """Return at most `limit` records, in order within each partition; wait if there are none.

        Raises OffsetOutOfRange where the store's offset is outside the log.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            seen = self._data_version()
            records = self._read(limit)
            if self._unreported:
                raise self._unreported.pop(0)
            if records:
                return records
            while self._data_version() == seen:
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                time.sleep(min(LOOK_SECONDS, left))

    def _data_version(self) -> int:
        """Return a number that changes when anyone else has written; asking reads no page."""
        return int(self._log.database.execute("PRAGMA data_version").fetchone()[0])

    def _read(self, limit: int) -> list[Record]:
        """Read what is there in one snapshot, so that no trim comes between."""
        self._log.database.execute("BEGIN")
        try:
            self._look()
            readable = [lane for lane in self._lanes.values() if lane.partition not in self._lost]
            self._turn += 1
            start = self._turn % max(len(readable), 1)
            records: list[Record] = []
            for lane in readable[start:] + readable[:start] if not self._unreported else []:
                offset = self._positions[lane.partition]
                if offset < lane.end and len(records) < limit:
                    found = self._log.read(lane, offset, limit - len(records))
                    self._positions[lane.partition] = found[-1].offset + 1
                    records += found
            return records
        finally:
            self._log.database.execute("COMMIT")

    def _look(self) -> None:
        """Take in the partitions as they are now; place those that are new."""
        lanes = self._log.lanes(self._topics)
        self._lanes = {lane.partition: lane for lane in lanes}
        new = [lane.partition for lane in lanes if lane.partition not in self._positions]
        stored = self._resume(new) if new else {}
        for partition in new:
            self._positions[partition] = stored.get(partition, self._lanes[partition].first)
        for lane in lanes:
            wanted = self._positions[lane.partition]
            if lane.partition not in self._lost and not lane.first <= wanted <= lane.end:
                problem = OffsetOutOfRange(lane.partition, wanted, lane.first, lane.end)
                self._lost[lane.partition] = problem
                self._unreported.append(problem)

    def partitions(self) -> list[Partition]:
        """Return all partitions of the topics."""
        return [lane.partition for lane in self._log.lanes(self._topics)]

    def assigned(self) -> set[Partition]:
        """Return the partitions that were found: whoever reads the file has them all."""
        return set(self._positions)

    def confirmed(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Return none: a file does not know who reads it."""
        return set()

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from these offsets; for partitions that are not assigned here, do nothing."""
        for partition, offset in offsets.items():
            if partition in self._positions:
                self._positions[partition] = offset
                self._lost.pop(partition, None)
                self._unreported = [p for p in self._unreported if p.partition != partition]

    def progress(self) -> Mapping[Partition, ReadPosition]:
        """Return how far each partition has been read; the ends are asked for now."""
        return {
            lane.partition: ReadPosition(position=self._positions[lane.partition], end=lane.end)
            for lane in self._log.lanes(self._topics)
            if lane.partition in self._positions
        }

    def publish(self, offsets: Mapping[Partition, int]) -> None:
        """Show people how far the store is, in `lane.published`; skipped where the log is busy."""
        rows = [
            (offset, self._lanes[partition].id)
            for partition, offset in offsets.items()
            if partition in self._lanes
        ]
        self._log.wait_at_most(0.05)
        try:
            with self._log.database:
                self._log.database.execute("BEGIN IMMEDIATE")
                self._log.database.executemany("UPDATE lane SET published = ? WHERE id = ?", rows)
        except sqlite3.OperationalError:
            return
        finally:
            self._log.wait_at_most(10.0)

    def close(self) -> None:
        """Stop reading."""
        self._log.close()
