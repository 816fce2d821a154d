"""Contract of EventSource and EventSink, kept by the embedded log and by Apache Kafka alike.

Locked here: order per key, start and restart from the store's offsets only, at least once, what
progress says, seeking back, an offset outside the log, records that are too large, any key.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from rlwd.streams.log.embedded_log import EmbeddedLog, EmbeddedSink, EmbeddedSource
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource, create_topics
from rlwd.streams.log.ports import EventSink, EventSource, OffsetOutOfRange, Partition, Record

PARTITIONS = 4


@dataclass
class Store:
    """Next offsets as the state database has them, and what it was asked for."""

    offsets: dict[Partition, int] = field(default_factory=dict)
    asked: list[list[Partition]] = field(default_factory=list)

    def __call__(self, partitions: Iterable[Partition], /) -> Mapping[Partition, int]:
        asked = list(partitions)
        self.asked.append(asked)
        return {each: self.offsets[each] for each in asked if each in self.offsets}

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            self.offsets[record.partition] = record.offset + 1


class Log(Protocol):
    """One implementation with a topic of its own."""

    topic: str

    def sink(self) -> EventSink: ...
    def source(self, store: Store, group: str = "one") -> EventSource: ...
    def trim(self, partition: Partition, before: int) -> None: ...


class Embedded:
    def __init__(self, path: Path) -> None:
        self.topic, self.path = "events", path

    def sink(self) -> EventSink:
        return EmbeddedSink(self.path, partitions=PARTITIONS)

    def source(self, store: Store, group: str = "one") -> EventSource:
        return EmbeddedSource(self.path, [self.topic], store, partitions=PARTITIONS)

    def trim(self, partition: Partition, before: int) -> None:
        log = EmbeddedLog(self.path)
        log.trim(partition, before)
        log.close()


class Kafka:
    def __init__(self, bootstrap: str) -> None:
        self.topic = f"events-{uuid.uuid4().hex[:8]}"
        self.settings = KafkaSettings(bootstrap_servers=(bootstrap,))
        create_topics(self.settings, [self.topic], partitions=PARTITIONS)

    def sink(self) -> EventSink:
        return KafkaSink(self.settings)

    def source(self, store: Store, group: str = "one") -> EventSource:
        settings = msgspec.structs.replace(
            self.settings, group_id=f"{self.topic}-{group}", group_instance_id="member"
        )
        return KafkaSource(settings, [self.topic], store)

    def trim(self, partition: Partition, before: int) -> None:
        from kafka import TopicPartition
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=list(self.settings.bootstrap_servers))
        admin.delete_records({TopicPartition(partition.topic, partition.index): before})
        admin.close()


class Opener(Protocol):
    """Opens a source; another group reads for itself."""

    def __call__(self, store: Store, group: str = "one") -> EventSource: ...


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    """Each implementation in turn, empty."""
    if request.param == "embedded":
        return Embedded(tmp_path / "log.db")
    return Kafka(request.getfixturevalue("kafka_server").bootstrap)


@pytest.fixture
def open_source(log: Log) -> Iterator[Opener]:
    """Opens sources and closes them at the end."""
    opened: list[EventSource] = []

    def open_one(store: Store, group: str = "one") -> EventSource:
        opened.append(log.source(store, group))
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


@pytest.fixture
def sink(log: Log) -> Iterator[EventSink]:
    """An open sink."""
    opened = log.sink()
    yield opened
    opened.close()


def write(sink: EventSink, topic: str, keys: Iterable[str], text: str = "v") -> None:
    for number, key in enumerate(keys):
        sink.send(topic, key, f"{text}{number}".encode())
    sink.flush(20.0)


def read(source: EventSource, count: int, seconds: float = 30.0) -> list[Record]:
    """Poll until so many records have come, or for so long."""
    deadline = time.monotonic() + seconds
    records: list[Record] = []
    while len(records) < count and time.monotonic() < deadline:
        records += source.poll(0.5, 1000)
    return records


def settle(source: EventSource) -> None:
    """Poll until all partitions are assigned and drained."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        source.poll(0.1, 1000)
        progress = source.progress()
        if len(progress) == PARTITIONS and all(each.drained for each in progress.values()):
            return
    raise AssertionError(f"not drained: {source.progress()}")


def test_records_of_one_key_come_in_order_from_one_partition(
    log: Log, sink: EventSink, open_source: Opener
) -> None:
    """A session's events are read in the order in which they were sent, over several flushes."""
    for batch in range(3):
        write(sink, log.topic, [f"s{n % 7}" for n in range(70)], f"{batch}.")
    records = read(open_source(Store()), 210)
    assert len(records) == 210
    for session in range(7):
        mine = [each for each in records if each.key == f"s{session}".encode()]
        assert len({each.partition for each in mine}) == 1
        assert [each.value.decode() for each in mine] == [
            f"{batch}.{number}" for batch in range(3) for number in range(session, 70, 7)
        ]
        assert [each.offset for each in mine] == sorted(each.offset for each in mine)
    assert len({each.partition for each in records}) > 1


def test_a_poll_returns_at_most_its_limit(log: Log, sink: EventSink, open_source: Opener) -> None:
    """A limit below what is there leaves the rest for later polls; none is skipped."""
    write(sink, log.topic, [f"s{n}" for n in range(50)])
    source = open_source(Store())
    sizes: list[int] = []
    values: set[bytes] = set()
    deadline = time.monotonic() + 30.0
    while len(values) < 50 and time.monotonic() < deadline:
        records = source.poll(0.5, 7)
        sizes.append(len(records))
        values |= {each.value for each in records}
    assert len(values) == 50 == sum(sizes)
    assert max(sizes) <= 7


def test_the_store_says_where_to_start(log: Log, sink: EventSink, open_source: Opener) -> None:
    """A new reader begins at the store's offsets, and at the beginning where it knows none."""
    write(sink, log.topic, [f"s{n}" for n in range(40)])
    first = read(open_source(Store()), 40)
    known = min({each.partition for each in first})
    count = sum(each.partition == known for each in first)
    store = Store(offsets={known: 2})
    records = read(open_source(store, "two"), 38)
    assert sorted(each.offset for each in records if each.partition == known) == list(
        range(2, count)
    )
    assert len(records) == 38
    assert known in {each for asked in store.asked for each in asked}


def test_published_offsets_never_decide(log: Log, sink: EventSink, open_source: Opener) -> None:
    """After a crash before the store's commit, what was read and even published comes again."""
    write(sink, log.topic, [f"s{n}" for n in range(30)])
    store = Store()
    source = open_source(store)
    assert len(read(source, 30)) == 30
    settle(source)
    source.publish({each: progress.position for each, progress in source.progress().items()})
    source.poll(0.3, 10)
    source.close()
    # The store took nothing of it: as if the process had died in between.
    assert len(read(open_source(store), 30)) == 30


def test_a_restart_goes_on_after_what_the_store_took(
    log: Log, sink: EventSink, open_source: Opener
) -> None:
    """With the store's offsets moved, a restart gets only what came later."""
    write(sink, log.topic, [f"s{n}" for n in range(20)], "old")
    store = Store()
    source = open_source(store)
    store.take(read(source, 20))
    source.close()
    write(sink, log.topic, [f"s{n}" for n in range(20)], "new")
    records = read(open_source(store), 20)
    assert {each.value for each in records} == {f"new{n}".encode() for n in range(20)}
    assert len(records) == 20


def test_progress_tells_position_and_end(log: Log, sink: EventSink, open_source: Opener) -> None:
    """Each assigned partition, even an empty one, shows where it is read to and when it is drained."""
    source = open_source(Store())
    settle(source)
    assert {each.end for each in source.progress().values()} == {0}
    write(sink, log.topic, ["one-key"] * 25)
    part = source.poll(20.0, 10)
    assert len(part) == 10
    where = part[0].partition
    progress = source.progress()[where]
    assert (progress.position, progress.end, progress.drained) == (10, 25, False)
    read(source, 15)
    assert source.progress()[where].position == 25
    settle(source)
    assert sum(each.position for each in source.progress().values()) == 25


def test_seek_goes_back(log: Log, sink: EventSink, open_source: Opener) -> None:
    """After a seek the same records come again; a partition that is not ours is no error."""
    write(sink, log.topic, ["k"] * 12)
    source = open_source(Store())
    records = read(source, 12)
    where = records[0].partition
    source.seek({where: 4, Partition(topic="elsewhere", index=0): 7})
    again = read(source, 8)
    assert [(each.offset, each.value) for each in again] == [
        (each.offset, each.value) for each in records[4:]
    ]


@pytest.mark.parametrize("wanted", [3, 99])
def test_an_offset_outside_the_log_stops_its_partition_alone(
    log: Log, sink: EventSink, open_source: Opener, wanted: int
) -> None:
    """Below the first or past the end raises, naming the gap; others go on; a seek accepts it."""
    write(sink, log.topic, ["k"] * 10 + [f"s{n}" for n in range(20)])
    records = read(open_source(Store()), 30)
    where = next(each.partition for each in records if each.key == b"k")
    end = sum(each.partition == where for each in records)
    log.trim(where, 6)
    source = open_source(Store(offsets={where: wanted}), "two")
    with pytest.raises(OffsetOutOfRange, match=f"offset {wanted} is outside.*6 to {end}") as raised:
        read(source, 31)
    assert (raised.value.partition, raised.value.first) == (where, 6)
    others = read(source, 30 - end) + source.poll(1.0, 100)
    assert {each.partition for each in others} == {each.partition for each in records} - {where}
    assert len(others) == 30 - end
    assert not source.progress()[where].drained or wanted > end
    source.seek({where: raised.value.first})
    assert [each.offset for each in read(source, end - 6)] == list(range(6, end))


def test_a_log_that_is_trimmed_under_a_reader_raises(
    log: Log, sink: EventSink, open_source: Opener
) -> None:
    """Retention that overtakes a running reader is an error too, never a silent jump."""
    write(sink, log.topic, ["k"] * 10)
    source = open_source(Store())
    where = read(source, 10)[0].partition
    source.seek({where: 0})
    log.trim(where, 6)
    with pytest.raises(OffsetOutOfRange, match="records 0 to 5 are gone"):
        read(source, 1)


def test_a_record_that_is_too_large_is_refused(
    log: Log, sink: EventSink, open_source: Opener
) -> None:
    """The sizes are named, nothing of it is written, and the sink works on."""
    with pytest.raises(ValueError, match=r"2000001 bytes .* limit of \d+"):
        sink.send(log.topic, "k", b"x" * 2_000_000)
    write(sink, log.topic, ["k"])
    assert [each.value for each in read(open_source(Store()), 1)] == [b"v0"]


def test_the_largest_record_that_is_taken_comes_through(
    log: Log, sink: EventSink, open_source: Opener
) -> None:
    """A record just within the limit is written and read whole."""
    value = bytes(range(256)) * 3900
    sink.send(log.topic, "k", value)
    sink.flush(20.0)
    assert [each.value for each in read(open_source(Store()), 1)] == [value]


def test_keys_may_be_any_text(log: Log, sink: EventSink, open_source: Opener) -> None:
    """Keys beyond ASCII come back as their UTF-8 bytes."""
    keys = ["süß", "会話", "\N{ROCKET}", "a b/c", "x" * 500]
    write(sink, log.topic, keys)
    records = read(open_source(Store()), len(keys))
    assert {each.key for each in records} == {key.encode() for key in keys}


def test_what_was_not_flushed_is_not_there(log: Log, sink: EventSink, open_source: Opener) -> None:
    """A queued record counts only after flush; closing drops it."""
    careless = log.sink()
    careless.send(log.topic, "k", b"lost")
    careless.close()
    write(sink, log.topic, ["k"])
    assert [each.value for each in read(open_source(Store()), 1)] == [b"v0"]


def test_an_empty_flush_returns(sink: EventSink) -> None:
    """Nothing sent, nothing to wait for."""
    sink.flush(0.1)


def test_a_waiting_poll_wakes_for_a_record(log: Log, sink: EventSink, open_source: Opener) -> None:
    """A record written after a reader drained the log comes with a later poll."""
    source = open_source(Store())
    settle(source)
    assert source.poll(0.05, 10) == []
    write(sink, log.topic, ["k"])
    assert [each.value for each in source.poll(20.0, 10)] == [b"v0"]
