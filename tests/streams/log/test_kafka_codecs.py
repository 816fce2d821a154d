"""Records of Kafka as companies compress them, and records that cannot be decoded."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import zstandard
from kafka import KafkaProducer
from kafka import codec as codecs
from kafka_server import KafkaServer
from ledger_by_hand import SPEC, generation
from waiting import until

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.join.offsets import accept_gap
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSource, create_topics
from rlwd.streams.log.kafka_unreadable import missing_codecs
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.open import open_store

pytestmark = pytest.mark.kafka
CODECS = ("gzip", "lz4", "snappy", "zstd")


@pytest.fixture
def settings(kafka_server: KafkaServer) -> KafkaSettings:
    """Settings of a group of its own."""
    name = f"group-{uuid.uuid4().hex[:8]}"
    return KafkaSettings(
        bootstrap_servers=(kafka_server.bootstrap,),
        group_id=name,
        group_instance_id="one",
        session_timeout_seconds=6.0,
    )


@pytest.fixture
def topic(settings: KafkaSettings) -> str:
    """A topic of its own, with two partitions."""
    name = f"events-{uuid.uuid4().hex[:8]}"
    create_topics(settings, [name], partitions=2)
    return name


def send(
    settings: KafkaSettings, topic: str, values: Mapping[int, list[bytes]], codec: str | None
) -> None:
    """Write values, by partition, in one compressed batch each."""
    producer = KafkaProducer(
        bootstrap_servers=list(settings.bootstrap_servers), compression_type=codec, linger_ms=50
    )
    for index, each in values.items():
        for value in each:
            producer.send(topic, value=value, partition=index)
    producer.flush()
    producer.close()


@pytest.mark.parametrize("codec", CODECS)
def test_a_compressed_topic_is_read(settings: KafkaSettings, topic: str, codec: str) -> None:
    """Each codec of Kafka's brings the bytes that were written."""
    written = [f"{codec} {number}".encode() * 50 for number in range(20)]
    send(settings, topic, {0: written}, codec)
    source = KafkaSource(settings, [topic], lambda _: {})
    found: list[Record] = []
    deadline = time.monotonic() + 60.0
    while len(found) < len(written) and time.monotonic() < deadline:
        found += source.poll(0.5, 100)
    source.close()
    assert [record.value for record in found] == written


@pytest.fixture
def ingest(settings: KafkaSettings, topic: str, tmp_path: Path) -> Iterator[Ingest]:
    """Takes the topic in."""
    store = open_store(tmp_path / "rlwd.db")
    joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds)
    made = Ingest(store, joiner, partial(KafkaSource, settings, [topic]))
    yield made
    made.source.close()
    store.close()


def turn_until(ingest: Ingest, true: Callable[[], bool]) -> None:
    """Turn until something is the case."""

    def turned() -> bool:
        ingest.step(time.time(), 0.2, 100)
        return true()

    until(turned, told=lambda: f"delivered {ingest.delivered}, problem {ingest.problem}")


def test_records_without_their_codec_stop_their_partition_and_nothing_else(
    settings: KafkaSettings, topic: str, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partition is named with what is wrong; the other goes on, and so does the process."""
    monkeypatch.setattr(codecs, "zstd", None)
    assert missing_codecs() == {"zstd": "zstandard"}
    send(settings, topic, {0: [generation("plain", 1.0)]}, None)
    monkeypatch.undo()
    send(settings, topic, {0: [generation("lost", 2.0)]}, "zstd")
    monkeypatch.setattr(codecs, "zstd", None)
    send(settings, topic, {1: [generation(f"g{n}", 3.0) for n in range(5)]}, None)
    turn_until(ingest, lambda: ingest.delivered >= 6 and ingest.problem is not None)
    assert ingest.problem is not None
    assert ingest.problem.startswith(f"{topic}[0]: the records from offset 1 on cannot be decoded")
    send(settings, topic, {1: [generation("later", 4.0)]}, None)
    turn_until(ingest, lambda: ingest.delivered >= 7)


def test_damaged_records_are_given_up_by_an_operator_alone(
    settings: KafkaSettings, topic: str, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both partitions stop at their first record; each goes on behind the gap that was accepted."""

    def damaged(payload: bytes) -> bytes:
        if b"bad" in zstandard.ZstdDecompressor().decompressobj().decompress(payload):
            raise zstandard.ZstdError("cannot decompress: Corrupted block detected")
        return bytes(real(payload))

    real = codecs.zstd_decode
    monkeypatch.setattr("kafka.record.default_records.zstd_decode", damaged)
    for index in (0, 1):
        send(settings, topic, {index: [b"bad" * 100]}, "zstd")
        send(settings, topic, {index: [generation(f"good{index}", 2.0)]}, "zstd")

    def stopped() -> int:
        return (ingest.problem or "").count("cannot be decoded")

    turn_until(ingest, lambda: stopped() == 2)
    assert "Corrupted block" in str(ingest.problem)
    for index in (1, 0):
        with ingest.store.transaction() as tx:
            assert accept_gap(tx, "policy", Partition(topic=topic, index=index), 1) == 1
        turn_until(ingest, lambda: stopped() == index)  # noqa: B023
    turn_until(ingest, lambda: ingest.delivered == 2)
    assert ingest.problem is None
