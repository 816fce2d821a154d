"""KafkaSource: reads the event log of many machines.

Only the files `kafka*.py` import the client. Where kafka-python 3.0.12 differs from what is
promised here:

- It calls the rebalance listener on its I/O thread, where nothing may block. So the listener only
  pauses new partitions; the thread that polls asks `Resume`, compares with the log and seeks.
- A join that ends while nobody polls is thrown away. So a thread sees it through.
- With a reset policy it moves an offset that is outside the log silently. So no policy is set.
- A failed producer forgets its records. So the sink keeps each one until it is acknowledged.
"""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from kafka import TopicPartition
from kafka import errors as failures

from .binary_mode import record_of
from .kafka_commits import Commits
from .kafka_end_offsets import Ends
from .kafka_group import Listener, Membership, of_client, open_consumer, partitions_of
from .kafka_settings import KafkaSettings
from .kafka_sink import KafkaSink
from .kafka_topics import DENIED, connecting, create_topics, denied, raise_for_missing
from .kafka_unreadable import UNREADABLE, drop_unreadable
from .ports import (
    OffsetOutOfRange,
    Partition,
    PartitionStopped,
    ReadPosition,
    Record,
    RecordUnreadable,
    Resume,
)

__all__ = ["KafkaSettings", "KafkaSink", "KafkaSource", "create_topics"]

SLICE_SECONDS = 0.2
"""Longest wait before a poll looks whether partitions were assigned meanwhile."""
PAUSE_SECONDS = 2.0
"""A loop that did not poll for so long was busy, or stopped; far above what a fetch waits."""


class KafkaSource:
    """Reads topics as a static member of a consumer group.

    A partition whose offset is outside the log, or whose records cannot be decoded, raises
    PartitionStopped once and then stands still, while the others go on, until `seek` moves it. A
    broker that is away makes `poll` return nothing, and `away` say so. Not thread-safe; `Resume` is asked on the
    thread that polls. Raises ConnectionError where no broker answers at first, ValueError where it
    has not every topic, or lets this user not read it.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], resume: Resume) -> None:
        self._resume = resume
        with connecting(settings):
            self._consumer = open_consumer(settings)
        self._listener, self._membership = Listener(self._consumer), Membership(self._consumer)
        self._consumer.subscribe(topics=list(topics), listener=self._listener)
        with connecting(settings):
            # kafka-python 3.0.12 forgets the subscription's request for metadata where another one
            # is under way, and would join as if the topics had no partitions.
            self._partitions = partitions_of(self._consumer, topics)
            if missing := set(topics) - {each.topic for each in self._partitions}:
                self._consumer.close(autocommit=False, timeout_ms=3000)
                raise_for_missing(settings, missing)
        self._unplaced: set[TopicPartition] = set()
        self._placed: dict[TopicPartition, Partition] = {}
        self._ends = Ends(self._consumer, settings.bootstrap_servers)
        self._commits = Commits(self._consumer)
        self._lost: set[TopicPartition] = set()
        self._unreported: list[PartitionStopped] = []
        self._looked_at = time.monotonic()
        self._calm_at = 0.0

    def poll(self, timeout_seconds: float, limit: int) -> list[Record]:
        """Return at most `limit` records, in order within each partition; wait if there are none.

        Raises PartitionStopped for a partition that cannot go on, RuntimeError where another process
        has taken this member's name.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._notice_pause()
            if not self._membership.joining:
                self._place()
                self._ends.ask(self._placed)
                self._commits.show()
            if self._unreported:
                raise self._unreported.pop(0)
            left = max(0.0, deadline - time.monotonic())
            records = self._fetch(min(left, SLICE_SECONDS), limit)
            asks = self._membership.joining or self._unplaced or self._placed.keys() - self._lost
            if records or not asks:
                self._ends.hear()
            if records or time.monotonic() >= deadline:
                return records

    def _notice_pause(self) -> None:
        """After a time in which nothing ran here, trust no end until fetches have been answered."""
        now, before = time.monotonic(), self._looked_at
        if now - before > PAUSE_SECONDS:
            self._calm_at = now + PAUSE_SECONDS
            self._ends.paused(now - before)
        self._looked_at = now

    def _fetch(self, seconds: float, limit: int) -> list[Record]:
        try:
            found = self._membership.poll(seconds, limit)
        except failures.OffsetOutOfRangeError as problem:
            self._find_lost(problem.args[0])
            return []
        except failures.LogTruncationError as problem:
            parted = problem.divergent_offsets
            self._find_lost({p: self._consumer.position(p, timeout_ms=0) for p in parted})
            return []
        except (failures.RetriableError, failures.NoOffsetForPartitionError):
            # The broker is away, or partitions come and go just now: both pass.
            time.sleep(min(seconds, 0.1))
            return []
        except UNREADABLE as problem:
            self._stop_unreadable(problem)
            return []
        except DENIED as problem:
            raise ValueError(f"kafka: {denied(problem)}") from problem
        return [
            record_of(self._placed[where], each)
            for where, records in found.items()
            # A partition that is not placed yet is paused and should bring no records.
            if where in self._placed
            for each in records
        ]

    def _place(self) -> None:
        """Seek partitions that are new here to where the store says, if the broker is there."""
        while not self._listener.heard.empty():
            assigned, partitions = self._listener.heard.get()
            self._unplaced = (
                self._unplaced | partitions if assigned else self._unplaced - partitions
            )
            self._commits.forget(partitions)
            for each in partitions:
                self._placed.pop(each, None)
                self._lost.discard(each)
            self._unreported = [
                p for p in self._unreported if of_client(p.partition) not in partitions
            ]
        if not self._unplaced:
            return
        names = {each: Partition(topic=each.topic, index=each.partition) for each in self._unplaced}
        stored = self._resume(sorted(names.values()))
        bounds = self._ends.bounds(names)
        for each, (first, end) in bounds.items():
            wanted = stored.get(names[each], first)
            with contextlib.suppress(ValueError, failures.IllegalStateError, KeyError):
                # The partition was revoked a moment ago; the listener says so next time.
                self._consumer.seek(each, wanted)
                self._placed[each] = names[each]
                self._commits.note(each, wanted)
                self._unplaced.discard(each)
                if first <= wanted <= end:
                    self._consumer.resume(each)
                else:
                    self._lose(each, wanted, first, end)

    def _find_lost(self, wanted: Mapping[TopicPartition, int]) -> None:
        for each, (first, end) in self._ends.bounds(wanted).items():
            if each in self._placed and each not in self._lost:
                self._consumer.pause(each)
                self._lose(each, wanted[each], first, end)

    def _lose(self, each: TopicPartition, wanted: int, first: int, end: int) -> None:
        self._lost.add(each)
        self._unreported.append(OffsetOutOfRange(self._placed[each], wanted, first, end))

    def _stop_unreadable(self, problem: Exception) -> None:
        """Pause the partition whose records cannot be decoded; raise any other problem again."""
        each = drop_unreadable(self._consumer, problem)
        if each is None or each not in self._placed:
            raise problem
        self._consumer.pause(each)
        self._lost.add(each)
        position = self._ends.position(each)
        assert position is not None, "a partition that was fetched from has a position"
        self._unreported.append(RecordUnreadable(self._placed[each], position, problem))

    @property
    def away(self) -> str | None:
        """Why nothing is read at all; None while the broker answers, or there is nothing to ask it."""
        return self._ends.silence

    def partitions(self) -> list[Partition]:
        """Return the partitions that the topics had when this was made."""
        return list(self._partitions)

    def assigned(self) -> set[Partition]:
        """Return the partitions that were placed here and not taken away, as far as was heard."""
        held = self._consumer.assignment()
        return {partition for each, partition in self._placed.items() if each in held}

    def confirmed(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Return which of these the broker's group says are this member's now."""
        asked = self.assigned().intersection(partitions)
        joined = not self._membership.joining
        taken = joined and self._commits.are_taken(map(of_client, asked))
        return self.assigned() & asked if taken else set()

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from these offsets; for partitions that are not assigned here, do nothing."""
        for partition, offset in offsets.items():
            each = of_client(partition)
            if each in self._placed and each in self._consumer.assignment():
                self._unreported = [p for p in self._unreported if p.partition != partition]
                self._lost.discard(each)
                self._consumer.seek(each, offset)
                self._consumer.resume(each)

    def progress(self) -> Mapping[Partition, ReadPosition]:
        """Return how far each assigned partition has been read.

        Without asking the broker: `poll` did. Nothing is said of a partition whose end was not heard
        of lately, because the broker is slow or away; nor while the group is being joined, or
        shortly after a pause of this process, when the ends are those from before it.
        """
        result: dict[Partition, ReadPosition] = {}
        if self._membership.joining or time.monotonic() < self._calm_at:
            return result
        assigned = self._consumer.assignment()
        for each, partition in self._placed.items():
            age = self._ends.age(each)
            if each in assigned and age is not None:
                position = self._ends.position(each)
                if position is not None:
                    result[partition] = ReadPosition(
                        position=position, end=self._ends.of(each), age_seconds=age
                    )
        return result

    def publish(self, offsets: Mapping[Partition, int]) -> None:
        """Show people how far the store is, as the group's committed offsets; never read back."""
        for partition, offset in offsets.items():
            if (each := of_client(partition)) in self._placed:
                self._commits.note(each, offset)
        self._commits.hurry()
        self._commits.show()

    def close(self) -> None:
        """Stop reading; the group keeps the partitions for this member until its session ends."""
        if not self._membership.joining:
            self._commits.show_last()
        self._membership.close(5.0)
