"""Records of Kafka in other shapes than ours: CloudEvents in binary mode, and what is named instead."""

import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import orjson
import pytest
from kafka import KafkaProducer
from kafka_server import KafkaServer
from ledger_by_hand import SPEC, feedback, generation
from waiting import until

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.binary_mode import as_structured
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSource, create_topics
from rlwd.streams.open import open_store

FOREIGN = {
    "a tombstone": None,
    "Confluent's wire format (magic byte 0, schema id 7)": b"\0\0\0\0\7{}      ",
    "Debezium's change event": orjson.dumps({"before": None, "after": {"id": 1}, "op": "c"}),
    "Debezium's change": orjson.dumps({"schema": {}, "payload": {"after": {}, "op": "u"}}),
    "Kafka Connect's JSON with a schema": orjson.dumps({"schema": {}, "payload": {"id": 1}}),
}


def in_binary_mode(raw: bytes, *, without: str = "") -> tuple[bytes, list[tuple[str, bytes]]]:
    """Split one of our records into data and headers, as an SDK of CloudEvents writes them."""
    event = orjson.loads(raw)
    data = orjson.dumps(event.pop("data"))
    headers = [(f"ce_{name}", text.encode()) for name, text in event.items() if name != without]
    return data, [*headers, ("content-type", b"application/json"), ("traceparent", b"00-1")]


@pytest.fixture
def topic() -> str:
    """A topic of its own."""
    return f"events-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def ingest(kafka_server: KafkaServer, topic: str, tmp_path: Path) -> Iterator[Ingest]:
    """Takes the topic in."""
    settings = KafkaSettings(
        bootstrap_servers=(kafka_server.bootstrap,), group_id=topic, group_instance_id="one"
    )
    create_topics(settings, [topic], partitions=1)
    store = open_store(tmp_path / "rlwd.db")
    joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds)
    made = Ingest(store, joiner, partial(KafkaSource, settings, [topic]))
    yield made
    made.source.close()
    store.close()


@pytest.mark.kafka
def test_binary_mode_is_read_and_what_is_foreign_is_named(
    kafka_server: KafkaServer, topic: str, ingest: Ingest
) -> None:
    """A generation and its feedback by header count like any other; five other shapes get reasons."""
    producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
    now = time.time()
    said = feedback("f", "g", Accepted(), now)
    for raw, without in ((generation("g", now), ""), (said, "receivedtime")):
        value, headers = in_binary_mode(raw, without=without)
        producer.send(topic, value=value, key=b"s", headers=headers)
    for foreign in FOREIGN.values():
        producer.send(topic, value=foreign, key=b"s", headers=[("traceparent", b"00-1")])
    producer.flush()
    producer.close()

    def all_read() -> bool:
        ingest.step(now + 1.0, 0.2, 100)
        return ingest.delivered >= 2 + len(FOREIGN)

    until(all_read)
    with ingest.store.reading() as view:
        assert view.execute("SELECT reward, stage FROM episodes").fetchall() == [(1.0, "ready")]
        reasons = view.execute('SELECT reason FROM dead_letters ORDER BY "offset"').fetchall()
    for (reason,), named in zip(reasons, FOREIGN, strict=True):
        assert reason.startswith(named)


def test_binary_data_that_is_no_json_is_refused_as_such() -> None:
    """Avro under our headers: the reason names the data, and not a position in bytes."""
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"x"), ("ce_source", b"/s")]
    headers += [("ce_type", b"rlwd.feedback.v1"), ("ce_time", b"2026-01-01T00:00:00Z")]
    structured = as_structured(b"\x02\x08avro\xff", headers, 1_000)
    decoded = msgspec.json.decode(structured)
    assert decoded["receivedtime"] == "1970-01-01T00:00:01+00:00"
    assert isinstance(decoded["data"], str)
    assert as_structured(b"{}", [("other", b"1")], 0) == b"{}"
