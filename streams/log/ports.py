"""Ports of the log, EventSource and EventSink: where records come from and go to, whatever the log is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Partition:
    """One ordered log."""

    topic: str
    """Name of the topic."""
    index: int
    """Number of the partition, from 0."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One delivered record, undecoded."""

    partition: Partition
    """Where it stood."""
    offset: int
    """Its position there; offsets grow but may have gaps."""
    key: bytes | None
    """Session id, or None."""
    value: bytes
    """The bytes as they were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPosition:
    """How far one partition has been read."""

    position: int
    """Next offset to read."""
    end: int
    """Offset after the last record there was when last asked."""
    age_seconds: float = 0.0
    """How long ago that was."""

    @property
    def drained(self) -> bool:
        """True where nothing was left to read."""
        return self.position >= self.end


class PartitionStopped(RuntimeError):
    """One partition cannot go on from an offset; the others do. An operator has to accept a gap."""

    def __init__(self, partition: Partition, wanted: int, problem: str) -> None:
        super().__init__(f"{partition.topic}[{partition.index}]: {problem}")
        self.partition, self.wanted = partition, wanted


class OffsetOutOfRange(PartitionStopped):
    """The store's offset is not in the log any more."""

    def __init__(self, partition: Partition, wanted: int, first: int, end: int) -> None:
        name = f"{partition.topic}/{partition.index}"
        if wanted > end:
            lost = f"records {end} to {wanted - 1} are gone from its end; it was made anew, or an"
            lost += f" older copy: `rlwd accept-gap {name} {end} --back` goes on there"
        else:
            lost = f"records {wanted} to {max(first - 1, wanted)} are gone;"
            lost += f" `rlwd accept-gap {name} {first}` gives them up"
        super().__init__(
            partition,
            wanted,
            f"offset {wanted} is outside the log, which holds {first} to {end}: {lost}",
        )
        self.first, self.end = first, end


class RecordUnreadable(PartitionStopped):
    """The log has the record, and its bytes cannot be read: a codec is missing, or they are damaged."""

    def __init__(self, partition: Partition, wanted: int, problem: BaseException) -> None:
        said = str(problem) or type(problem).__name__
        super().__init__(
            partition,
            wanted,
            f"the records from offset {wanted} on cannot be decoded: {said}; where a codec is missing"
            " `rlwd doctor` says what to install, and `rlwd accept-gap` gives damaged records up",
        )


class MemberFenced(RuntimeError):
    """Another process joined the group under this one's name: the broker lets the newer one stay."""


class Resume(Protocol):
    """Says where to go on: the store's next offset for each partition it knows."""

    def __call__(self, partitions: Iterable[Partition], /) -> Mapping[Partition, int]:
        """Return next offsets; a partition that is not in the answer starts at its beginning."""
        ...


class EventSource(Protocol):
    """Reads topics in order, from where the store says, at least once.

    On every assignment of partitions the source asks `Resume` and seeks there (CONTRACTS 15);
    the log's own committed offsets never decide.
    """

    @property
    def away(self) -> str | None:
        """Why nothing is read at all: the log has not answered for long; None where it does."""
        ...

    def poll(self, timeout_seconds: float, limit: int) -> list[Record]:
        """Return at most `limit` records, in order within each partition; wait if there are none.

        Raises PartitionStopped, once for each partition, where the store's offset is outside the
        log or what stands there cannot be read; the partition then waits for `seek`.
        """
        ...

    def partitions(self) -> Iterable[Partition]:
        """Return all partitions that the topics have at first, assigned here or not."""
        ...

    def assigned(self) -> set[Partition]:
        """Return the partitions that are this reader's, as far as it has heard."""
        ...

    def confirmed(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Return which of these are surely this reader's now: the log was asked, and says so.

        None where it cannot tell, or does not answer within some seconds.
        """
        ...

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from these offsets; for partitions that are not assigned here, do nothing."""
        ...

    def progress(self) -> Mapping[Partition, ReadPosition]:
        """Return how far each assigned partition has been read."""
        ...

    def publish(self, offsets: Mapping[Partition, int]) -> None:
        """Show people how far the store is; never read back."""
        ...

    def close(self) -> None:
        """Stop reading. Static members keep their partitions until the session times out."""
        ...


class EventSink(Protocol):
    """Writes records to topics; a record counts as written only after `flush`."""

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Queue one record; records of one key stay in order.

        Raises ConnectionError where the log is away, ValueError where the record is too large.
        """
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Return once all that was sent is durable.

        Raises ConnectionError where it is not by then.
        """
        ...

    def close(self) -> None:
        """Let go of the log, without waiting for what was not flushed."""
        ...
