"""Ingest: poll, join and score, all of a poll in one transaction (CONTRACTS 9 to 16)."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from ..streams import deadletter, join, offsets
from ..streams.join import Ingested, Joiner
from ..streams.offsets import StaleOffset
from ..streams.source import EventSink, EventSource, OffsetOutOfRange, Partition
from ..streams.store import Store

log = structlog.get_logger()

FORWARD_SECONDS = 5.0
QUIET_POLLS = 5


class Ingest:
    """Owns the source's position: what the store holds, and nothing else."""

    def __init__(self, store: Store, joiner: Joiner) -> None:
        self.store, self.joiner = store, joiner
        self.source: EventSource | None = None
        self.delivered = 0
        self.problem: str | None = None

    def resume(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Tell a source that was assigned partitions where to go on."""
        with self.store.transaction() as tx:
            return self.joiner.resume(tx, list(partitions))

    def step(self, now: float, timeout_seconds: float, limit: int) -> Ingested:
        """Take in one poll; where another process moved an offset, go back to what it says."""
        assert self.source is not None, "ingest has no source"
        try:
            records = self.source.poll(timeout_seconds, limit)
        except OffsetOutOfRange as gap:
            # The partition stands still until an operator accepts the gap; the others go on.
            log.error("offset_out_of_range", problem=str(gap))
            self.problem = str(gap)
            return Ingested()
        progress = self.source.progress()
        try:
            with self.store.transaction() as tx:
                result = self.joiner.ingest(tx, records, now)
                offsets.mark_read_past(tx, self.joiner.policy, progress, now)
        except StaleOffset:
            self.source.seek(self.resume({record.partition for record in records}))
            return Ingested()
        moved = self.joiner.committed()
        self.delivered += result.counts.delivered
        if moved:
            self.source.publish(moved)
        return result

    def close_horizons(self, now: float) -> int:
        """Close what every partition has been read past."""
        with self.store.transaction() as tx:
            return self.joiner.close_horizons(tx, now)

    def forward_dead_letters(self, sink: EventSink, topic: str) -> int:
        """Send dead letters to their topic; a crash in between sends them again."""
        with self.store.reading() as view:
            letters = deadletter.unforwarded(view, self.joiner.policy)
        if letters:
            deadletter.forward(sink, topic, letters, FORWARD_SECONDS)
            with self.store.transaction() as tx:
                deadletter.mark_forwarded(tx, self.joiner.policy, letters)
        return len(letters)


def read_to_end(ingest: Ingest, *, assigned_within_seconds: float = 60.0) -> None:
    """Take in all there is now; returns once several polls in a row brought nothing.

    Raises TimeoutError where the log hands out no partition in time.
    """
    assert ingest.source is not None, "nothing to read from"
    idle, deadline = 0, time.monotonic() + assigned_within_seconds
    while idle < QUIET_POLLS:
        result = ingest.step(now=0.0, timeout_seconds=0.1, limit=2000)
        progress = ingest.source.progress()
        if not progress and time.monotonic() > deadline:
            raise TimeoutError(f"no partition was assigned in {assigned_within_seconds:.0f} s")
        drained = bool(progress) and all(at.drained for at in progress.values())
        idle = idle + 1 if drained and not result.counts.delivered else 0


def open_store(path: Path, extra: Mapping[str, tuple[str, ...]] | None = None) -> Store:
    """Open the state database with the tables of the join and of whoever else brings some."""
    return Store(path, {"streams": join.MIGRATIONS, **(extra or {})})
