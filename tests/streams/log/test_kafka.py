"""What only Kafka has: groups, static members, transactions, a broker that goes away.

The rest is in test_source.py, which both logs pass.
"""

import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.record import util as kafka_record
from kafka_server import KafkaServer
from waiting import until

from rlwd.ops.servers.process import free_port
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource, create_topics
from rlwd.streams.log.ports import MemberFenced, Partition, Record

pytestmark = pytest.mark.kafka


class Store:
    """Next offsets, as the state database has them for all readers."""

    def __init__(self) -> None:
        self.offsets: dict[Partition, int] = {}
        self.asked: list[Partition] = []

    def __call__(self, partitions: Iterable[Partition], /) -> Mapping[Partition, int]:
        asked = list(partitions)
        self.asked += asked
        return {each: self.offsets[each] for each in asked if each in self.offsets}

    def take(self, records: list[Record]) -> None:
        for record in records:
            self.offsets[record.partition] = record.offset + 1


@pytest.fixture
def settings(kafka_server: KafkaServer) -> KafkaSettings:
    """Settings of a group of its own."""
    return KafkaSettings(
        bootstrap_servers=(kafka_server.bootstrap,),
        group_id=f"group-{uuid.uuid4().hex[:8]}",
        group_instance_id="one",
        session_timeout_seconds=6.0,
    )


@pytest.fixture
def topic(settings: KafkaSettings) -> str:
    """A topic of its own, with four partitions."""
    name = f"events-{uuid.uuid4().hex[:8]}"
    create_topics(settings, [name], partitions=4)
    return name


@pytest.fixture
def sink(settings: KafkaSettings) -> Iterator[KafkaSink]:
    """An open sink."""
    opened = KafkaSink(settings)
    yield opened
    opened.close()


def write(sink: KafkaSink, topic: str, count: int, text: str = "v") -> None:
    for number in range(count):
        sink.send(topic, f"s{number}", f"{text}{number}".encode())
    sink.flush(30.0)


def read(source: KafkaSource, count: int, seconds: float = 30.0) -> list[Record]:
    deadline = time.monotonic() + seconds
    records: list[Record] = []
    while len(records) < count and time.monotonic() < deadline:
        records += source.poll(0.5, 1000)
    return records


def shared(first: KafkaSource, second: KafkaSource) -> bool:
    """Whether each of two members has half of four partitions, and both know it."""
    mine, other = set(first.progress()), set(second.progress())
    return len(mine) == len(other) == 2 and not mine & other


def test_two_members_share_the_partitions(
    settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """The second takes over half, starting where the store says; nothing is lost or skipped."""
    store = Store()
    first = KafkaSource(settings, [topic], store)
    second = KafkaSource(msgspec.structs.replace(settings, group_instance_id="two"), [topic], store)
    try:
        write(sink, topic, 40, "old")
        old = read(first, 40)
        store.take(old)
        store.asked.clear()

        def joined() -> bool:
            # One thread polls both, so each gets its turn in the rebalance.
            assert first.poll(0.1, 100) + second.poll(0.1, 100) == []
            return shared(first, second)

        until(joined, 90.0)
        mine, other = set(first.progress()), set(second.progress())
        assert (len(mine), len(other), mine & other) == (2, 2, set())
        assert set(store.asked) == other, "only what moved is placed anew"
        write(sink, topic, 40, "new")
        new: list[Record] = []
        deadline = time.monotonic() + 90.0
        while len(new) < 40 and time.monotonic() < deadline:
            new += first.poll(0.1, 100) + second.poll(0.1, 100)
        assert {record.value for record in new} == {f"new{n}".encode() for n in range(40)}
        assert len(new) == 40
    finally:
        first.close()
        second.close()


def test_a_partition_that_moves_is_read_again_from_the_store(
    settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """What one member read but did not store comes again at the member that takes over."""
    store = Store()
    first = KafkaSource(settings, [topic], store)
    second = KafkaSource(msgspec.structs.replace(settings, group_instance_id="two"), [topic], store)
    try:
        write(sink, topic, 40)
        before = read(first, 40)
        again: list[Record] = []

        def moves() -> bool:
            first.poll(0.1, 100)
            again.extend(second.poll(0.1, 100))
            return shared(first, second)

        until(moves, 90.0)
        moved = set(second.progress())
        expected = {record.value for record in before if record.partition in moved}
        again += read(second, len(expected) - len(again))
        assert {record.value for record in again} == expected
    finally:
        first.close()
        second.close()


def test_a_restarted_member_gets_its_partitions_at_once(
    settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """A static member that closes keeps its partitions: others get none, it gets them back."""
    store = Store()
    first = KafkaSource(settings, [topic], store)
    write(sink, topic, 10)
    store.take(read(first, 10))
    first.close()
    other = KafkaSource(msgspec.structs.replace(settings, group_instance_id="two"), [topic], store)
    again = KafkaSource(settings, [topic], store)
    try:
        write(sink, topic, 10, "new")
        deadline = time.monotonic() + 90.0
        records: list[Record] = []
        while len(records) < 10 and time.monotonic() < deadline:
            records += again.poll(0.1, 100) + other.poll(0.1, 100)
        assert {record.value for record in records} == {f"new{n}".encode() for n in range(10)}
        # Four partitions: all of them with the member that came back, or by now shared.
        assert again.progress()
    finally:
        again.close()
        other.close()


def test_after_a_pause_no_end_is_trusted_until_the_broker_was_heard(
    settings: KafkaSettings, topic: str
) -> None:
    """A process that was stopped knows the ends from before; it says nothing of them for a while."""
    source = KafkaSource(settings, [topic], Store())
    try:
        until(lambda: not source.poll(0.1, 100) and len(source.progress()) == 4, 90.0)
        assert source.partitions() == sorted(source.progress())
        source._looked_at -= 60.0  # As if nothing had run here for a minute.
        source.poll(0.0, 100)
        assert source.progress() == {}
        until(lambda: not source.poll(0.2, 100) and len(source.progress()) == 4, 90.0)
    finally:
        source.close()


def test_a_second_process_of_the_same_name_fences_the_first(
    settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """The member that was replaced is told that it has nothing, and stops with an error that says why."""
    first = KafkaSource(settings, [topic], Store())
    write(sink, topic, 4)
    read(first, 4)
    second = KafkaSource(settings, [topic], Store())
    try:
        assert len(read(second, 4)) == 4
        mine = set(second.partitions())
        assert (first.assigned(), first.confirmed(mine)) == (mine, set())
        assert second.confirmed(mine) == mine
        with pytest.raises(MemberFenced, match=f"has joined as {settings.group_instance_id}, "):
            read(first, 1)
    finally:
        first.close()
        second.close()


@pytest.mark.timeout(600)
def test_a_broker_that_dies_and_comes_back_loses_nothing(
    kafka_server: KafkaServer, settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """While it is away poll returns nothing and flush raises; afterwards both go on by themselves."""
    store = Store()
    source = KafkaSource(settings, [topic], store)
    try:
        write(sink, topic, 10, "before")
        assert len(read(source, 10)) == 10
        kafka_server.kill()
        assert source.poll(0.5, 10) == []
        for number in range(5):
            sink.send(topic, f"s{number}", f"during{number}".encode())
        with pytest.raises(ConnectionError, match="5 records not acknowledged"):
            sink.flush(0.5)
        source.publish({each: 1 for each in source.progress()})
        revive = threading.Thread(target=kafka_server.start)
        revive.start()
        assert len(source.progress()) == 4
        records: list[Record] = []
        deadline = time.monotonic() + 90.0
        while time.monotonic() < deadline and len(records) < 5:
            try:
                sink.flush(5.0)
            except ConnectionError:
                continue
            finally:
                records += source.poll(0.2, 100)
        revive.join()
        assert {record.value for record in records} == {f"during{n}".encode() for n in range(5)}
        write(sink, topic, 5, "after")
        assert len(read(source, 5)) == 5
    finally:
        if not kafka_server.alive:
            kafka_server.start()
        source.close()


def test_only_committed_transactions_are_read_and_their_end_is_reached(
    settings: KafkaSettings, topic: str
) -> None:
    """Aborted records are skipped; position passes their markers, so the log counts as drained."""
    producer = KafkaProducer(
        bootstrap_servers=list(settings.bootstrap_servers), transactional_id=topic
    )
    producer.init_transactions()
    for text, good in (("aborted", False), ("kept", True), ("aborted-too", False)):
        producer.begin_transaction()
        producer.send(topic, key=b"k", value=text.encode())
        if good:
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
    producer.close()
    source = KafkaSource(settings, [topic], Store())
    try:
        assert [record.value for record in read(source, 2, seconds=3.0)] == [b"kept"]
        progress = source.progress()
        assert sorted(each.end for each in progress.values()) == [0, 0, 0, 6]
        assert all(each.drained for each in progress.values())
    finally:
        source.close()


def test_published_offsets_are_there_for_people(
    settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """The group's committed offset shows the store's, with a note whose it is."""
    source = KafkaSource(settings, [topic], Store())
    write(sink, topic, 20)
    records = read(source, 20)
    where = records[0].partition
    source.publish({where: 2, Partition(topic="not-mine", index=0): 9})
    committed: Any = None
    deadline = time.monotonic() + 20.0
    watcher = KafkaConsumer(
        bootstrap_servers=list(settings.bootstrap_servers),
        group_id=settings.group_id,
        enable_auto_commit=False,
    )
    while getattr(committed, "offset", 0) != 2 and time.monotonic() < deadline:
        source.poll(0.1, 1)
        committed = watcher.committed(TopicPartition(topic, where.index), metadata=True)
    watcher.close()
    source.close()
    assert (committed.offset, committed.metadata) == (2, "next offset in rlwd's store")


def test_a_topic_that_is_missing_is_named(settings: KafkaSettings, sink: KafkaSink) -> None:
    """A source does not start before its topic; made twice, the topic is as it was made first."""
    name = f"late-{uuid.uuid4().hex[:8]}"
    with pytest.raises(ValueError, match=f"topic {name} is missing"):
        KafkaSource(settings, [name], Store())
    create_topics(settings, [name, name], partitions=2)
    create_topics(settings, [name], partitions=5)
    source = KafkaSource(settings, [name], Store())
    try:
        write(sink, name, 4)
        assert len(read(source, 4)) == 4
        assert len(source.progress()) == 2
    finally:
        source.close()


def test_a_record_that_the_broker_refuses_does_not_block_the_others(
    kafka_server: KafkaServer, settings: KafkaSettings
) -> None:
    """It is dropped with a ValueError from flush; records of other topics are written."""
    small, wide = f"small-{uuid.uuid4().hex[:8]}", f"wide-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    admin.create_topics(
        {small: {"configs": {"max.message.bytes": "2000"}}, wide: {}}, wait_for_metadata=True
    )
    admin.close()
    sink = KafkaSink(settings)
    source = KafkaSource(settings, [small, wide], Store())
    try:
        for number in range(10):
            sink.send(wide, "k", b"before%d" % number)
        sink.send(small, "k", b"x" * 5000)
        sink.send(wide, "k", b"after")
        with pytest.raises(ValueError, match="1 records refused for good"):
            sink.flush(20.0)
        sink.flush(5.0)
        values = [record.value for record in read(source, 11)]
        assert list(dict.fromkeys(values)) == [b"before%d" % n for n in range(10)] + [b"after"]
    finally:
        source.close()
        sink.close()


def test_a_topic_that_does_not_exist_is_a_connection_error_and_keeps_the_record(
    settings: KafkaSettings, sink: KafkaSink
) -> None:
    """Once the topic is there, the next flush writes what waited."""
    name = f"missing-{uuid.uuid4().hex[:8]}"
    sink.send(name, "k", b"v")
    with pytest.raises(ConnectionError):
        sink.flush(2.0)
    create_topics(settings, [name], partitions=1)
    sink.flush(20.0)
    source = KafkaSource(settings, [name], Store())
    assert [record.value for record in read(source, 1)] == [b"v"]
    source.close()


def test_a_tombstone_comes_as_an_empty_value(settings: KafkaSettings, topic: str) -> None:
    """A record without a value is delivered, so that it can be dead-lettered and counted."""
    producer = KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))
    producer.send(topic, key=b"k", value=None).get(10)
    producer.close()
    source = KafkaSource(settings, [topic], Store())
    assert [(each.key, each.value) for each in read(source, 1)] == [(b"k", b"")]
    source.close()


def test_no_broker_is_a_connection_error() -> None:
    """Source, topics and flush say what did not answer; send never waits."""
    settings = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{free_port()}",), max_queued_bytes=3)
    with pytest.raises(ConnectionError, match=r"nothing answers at 127\.0\.0\.1"):
        KafkaSource(settings, ["t"], Store())
    with pytest.raises(ConnectionError, match="nothing answers"):
        create_topics(settings, ["t"])
    sink = KafkaSink(settings)
    sink.send("t", "k", b"v")
    with pytest.raises(ConnectionError, match="nothing answers"):
        sink.flush(1.0)
    with pytest.raises(ConnectionError, match="queue is full"):
        sink.send("t", "k", b"v")
    sink.close()


def test_without_crc32c_the_source_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow checksum of the client itself is never taken silently."""
    monkeypatch.setattr(kafka_record, "crc32c_c", None)
    with pytest.raises(ModuleNotFoundError, match=r"kafka-python\[crc32c\]"):
        KafkaSource(KafkaSettings(), ["t"], Store())


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad servers, foreign security keys and unset variables are refused by name."""
    with pytest.raises(ValueError, match="bootstrap_servers: 'broker' is not host:port"):
        KafkaSettings(bootstrap_servers=("broker",))
    with pytest.raises(ValueError, match="bootstrap_servers: at least one"):
        KafkaSettings(bootstrap_servers=())
    with pytest.raises(ValueError, match=r"security\.acks: only"):
        KafkaSettings(security={"acks": "0"})
    with pytest.raises(msgspec.ValidationError, match="contains unknown field `grup_id`"):
        msgspec.convert({"grup_id": "x"}, KafkaSettings)
    monkeypatch.delenv("RLWD_TEST_SECRET", raising=False)
    settings = KafkaSettings(security={"sasl_plain_password": "$RLWD_TEST_SECRET"})
    with pytest.raises(ValueError, match="environment variable RLWD_TEST_SECRET is not set"):
        settings.connection()


def test_a_secret_comes_from_the_environment(
    kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A security value that begins with $ is read from the variable it names."""
    monkeypatch.setitem(os.environ, "RLWD_TEST_SECRET", "hidden")
    settings = KafkaSettings(
        bootstrap_servers=(kafka_server.bootstrap,),
        security={"security_protocol": "PLAINTEXT", "sasl_plain_password": "$RLWD_TEST_SECRET"},
    )
    arguments = settings.connection()
    assert (arguments["sasl_plain_password"], arguments["security_protocol"]) == (
        "hidden",
        "PLAINTEXT",
    )


def test_members_that_poll_briefly_and_work_in_between_settle(
    settings: KafkaSettings, topic: str, sink: KafkaSink
) -> None:
    """A join that ends while its member works is not thrown away, so the group comes to rest."""
    other = msgspec.structs.replace(settings, group_instance_id="two")
    sources = [KafkaSource(each, [topic], Store()) for each in (settings, other)]
    try:
        deadline = time.monotonic() + 25.0
        generations: list[int] = []
        while time.monotonic() < deadline and generations[-60:] != [2] * 60:
            # The client loses what ends outside of a poll; here that is nearly all of the time.
            for source in sources:
                source.poll(0.0, 10)
            time.sleep(0.05)
            generations.append(sum(len(source.progress()) == 2 for source in sources))
        assert generations[-60:] == [2] * 60, "both have two partitions, and keep them"
        write(sink, topic, 40)
        assert sum(len(read(source, 40, seconds=3.0)) for source in sources) == 40
    finally:
        for source in sources:
            source.close()
