"""Ingest: poll, join and score, all of a poll in one transaction (CONTRACTS 9 to 16)."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from ..log import claim_check
from ..log.ports import EventSource, Partition, PartitionStopped, Record, Resume
from ..state.crash_points import CrashPoint, crash_here
from ..state.store import Store
from . import offsets, retention
from .joiner import Ingested, Joiner
from .offsets import StaleOffset

log = structlog.get_logger()

OpenSource = Callable[[Resume], EventSource]
"""Opens the log to read from; the source asks the store, by `Resume`, where to go on."""

QUIET_POLLS = 5
"""Polls in a row that bring nothing before a log counts as read to its end."""


class Ingest:
    """Reads the log from where the store says, and takes it in poll by poll."""

    def __init__(self, store: Store, joiner: Joiner, open_source: OpenSource) -> None:
        self.store, self.joiner = store, joiner
        self.source = open_source(self.resume)
        self.delivered = 0
        self.told = Counter[tuple[str, str]]()
        """Feedback taken in by this process, by the variant that answered and the kind of signal."""
        self.away: str | None = None
        """What keeps the database from being reached, while it does."""
        self._stopped: dict[Partition, PartitionStopped] = {}
        self._known = False
        self._untaken: dict[Partition, int] = {}
        self._refused = False
        """Whether the store refused what was polled last, as another reader's."""

    @property
    def problem(self) -> str | None:
        """What keeps the log or partitions of it from being read, naming each; None where all are."""
        away = self.source.away
        stopped = [str(each) for each in self._stopped.values()]
        return "; ".join([*([away] if away else []), *stopped]) or None

    def resume(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Claim partitions for a source that was assigned them; return where to go on."""
        with self.store.transaction() as tx:
            return self.joiner.resume(tx, list(partitions))

    def step(self, now: float, timeout_seconds: float, limit: int) -> Ingested:
        """Take in one poll; where another process moved an offset, go back to what the store says.

        Where the database is away, or too busy, what was polled is read again later.
        """
        with without_collector():
            return self._step(now, timeout_seconds, limit)

    def _step(self, now: float, timeout_seconds: float, limit: int) -> Ingested:
        try:
            self._catch_up()
            records = self.source.poll(timeout_seconds, limit)
        except PartitionStopped as stopped:
            # The partition stands still until an operator accepts a gap; the others go on.
            log.error("partition_stopped", problem=str(stopped))
            self._stopped[stopped.partition] = stopped
            return Ingested()
        except (ConnectionError, TimeoutError) as problem:
            self._wait(problem, timeout_seconds)
            return Ingested()
        try:
            result = self._take(records, now)
        except StaleOffset as problem:
            log.warning("offset_stale", problem=str(problem))
            self._untaken, self._refused = _starts(records), True
            time.sleep(timeout_seconds)
            return Ingested()
        except (ConnectionError, TimeoutError) as problem:
            self._untaken = _starts(records)
            self._wait(problem, 0.0)
            return Ingested()
        crash_here(CrashPoint.INGESTED)
        moved = self.joiner.committed()
        self.delivered += result.counts.delivered
        self.told += result.told
        self.away = None
        if moved:
            self.source.publish(moved)
        return result

    def _take(self, records: Sequence[Record], now: float) -> Ingested:
        progress = self.source.progress()
        with self.store.transaction() as tx:
            return self.joiner.ingest(tx, records, now, progress)

    def _catch_up(self) -> None:
        """Record all partitions once, and go back to records that were polled and not taken in."""
        if not self._known:
            with self.store.transaction() as tx:
                offsets.know_partitions(tx, self.joiner.policy, self.source.partitions())
            self._known = True
        if self._stopped:
            self._resume_accepted()
        if self._untaken:
            # The store may name a reader that claimed them too late, or may have lost our claim in a
            # failover. Nobody else will read them, so where the log says that they are ours we claim
            # them again; a reader that lost them is not told so.
            mine = self.source.confirmed(self._untaken) if self._refused else set()
            with self.store.transaction() as tx:
                stored = self.joiner.look_up(tx, [*self._untaken.keys() - mine])
                if mine:
                    stored |= self.joiner.resume(tx, sorted(mine))
            self.source.seek({**self._untaken, **stored})
            self._untaken, self._refused = {}, False

    def _resume_accepted(self) -> None:
        """Go on where an operator accepted a gap: the store then stands elsewhere.

        What is another's by now stands still there, if it does, and is not taken back.
        """
        held = self.source.assigned()
        self._stopped = {each: at for each, at in self._stopped.items() if each in held}
        with self.store.reading() as view:
            stored = offsets.load_offsets(view, self.joiner.policy)
        for partition, stopped in list(self._stopped.items()):
            stands = stored.get(partition, stopped.wanted)
            if stands != stopped.wanted:
                self.source.seek(self.resume([partition]))
                log.info("gap_accepted", partition=str(partition), offset=stands)
                del self._stopped[partition]

    def _wait(self, problem: Exception, seconds: float) -> None:
        if self.away is None:
            log.warning("database_away", problem=str(problem))
        self.away = str(problem)
        time.sleep(seconds)

    def close_horizons(self, now: float) -> int:
        """Close the horizons that every partition has been read past."""
        with self.store.transaction() as tx:
            return self.joiner.close_horizons(tx, now)

    def expire(self, now: float, retention_days: float) -> int:
        """Forget the content of records received more than `retention_days` ago, and their files."""
        before = now - retention_days * 86400.0
        if self.joiner.reader.data is not None:
            claim_check.expire(self.joiner.reader.data, before)
        with self.store.transaction() as tx:
            return retention.expire(tx, self.joiner.policy, before)


def read_to_end(ingest: Ingest, *, assigned_within_seconds: float = 60.0) -> None:
    """Take in all there is now; returns once several polls in a row brought nothing.

    Raises TimeoutError where the log hands out no partition in time.
    """
    idle, deadline = 0, time.monotonic() + assigned_within_seconds
    while idle < QUIET_POLLS:
        result = ingest.step(now=0.0, timeout_seconds=0.1, limit=2000)
        progress = ingest.source.progress()
        if not progress and time.monotonic() > deadline:
            raise TimeoutError(f"no partition was assigned in {assigned_within_seconds:.0f} s")
        drained = bool(progress) and all(at.drained for at in progress.values())
        idle = idle + 1 if drained and not result.counts.delivered else 0


@contextmanager
def without_collector() -> Iterator[None]:
    """Let Python's garbage collector run between polls and not within one; so for pages of answers.

    A poll makes some hundred thousand objects, none of them in a cycle, and keeps next to none.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _starts(records: Iterable[Record]) -> dict[Partition, int]:
    """Return the offset of each partition's first record."""
    starts: dict[Partition, int] = {}
    for record in records:
        starts.setdefault(record.partition, record.offset)
    return starts
