"""An event over the broker's limit: a file holds it, the log a reference (CONTRACTS 1)."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka_server import KafkaServer
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.event import MalformedEvent, decode_event
from rlwd.streams.events.signals import Accepted
from rlwd.streams.log.claim_check import DataMissing, expire, resolve, store_payload
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource, create_topics
from rlwd.streams.log.oversize_sink import OversizeSink

LARGE = generation("g1", 10.0, text="x" * 3_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shared folder."""
    return tmp_path / "data"


def test_a_reference_stands_for_its_event(folder: Path) -> None:
    """Small, it carries the identity and both times, and leads to the very bytes."""
    reference = store_payload(folder, LARGE)
    assert len(reference) < 500
    said, full = json.loads(reference), json.loads(LARGE)
    assert {key: full[key] for key in said if key in full} == {
        key: said[key] for key in said if key in full
    }
    assert resolve(reference, folder) == LARGE
    assert store_payload(folder, LARGE) == reference
    assert [path.name for path in folder.iterdir()] == [said["dataref"]]


def test_any_other_record_is_left_alone(folder: Path) -> None:
    """What only mentions a reference, in its text or as a field of its own, is read as it is."""
    quoting = generation("g1", 1.0, text='{"dataref": "x"}')
    nested = b"[" * 100_000 + b"]" * 100_000
    for raw in (
        quoting,
        b'{"dataref": 7, "id": "a"}',
        b'{"dataref": "\xff", "id": "a"}',
        b'{"dataref": "a", "more": %s}' % nested,
    ):
        assert resolve(raw, None) is raw


def bent(reference: bytes, **changes: str) -> bytes:
    return json.dumps({**json.loads(reference), **changes}).encode()


def test_what_does_not_fit_is_named(folder: Path) -> None:
    """No folder, a name that leads out of it, a changed file, another event's identity: each says so."""
    reference = store_payload(folder, LARGE)
    with pytest.raises(MalformedEvent, match=r"stream\.data_folder is not set"):
        resolve(reference, None)
    with pytest.raises(MalformedEvent, match="not the name of a file in the data folder"):
        resolve(bent(reference, dataref="../rlwd.toml"), folder)
    with pytest.raises(MalformedEvent, match=r"\$\.id: the file holds another event"):
        resolve(bent(reference, id="g2"), folder)
    (path,) = folder.iterdir()
    path.write_bytes(LARGE[:-2] + b" }")
    with pytest.raises(MalformedEvent, match="is not the file that was written"):
        resolve(reference, folder)
    path.unlink()
    with pytest.raises(DataMissing, match="is not in the data folder"):
        resolve(reference, folder)


def test_what_is_no_event_is_not_parked(folder: Path) -> None:
    """A large record that nobody could read is refused before it is written."""
    with pytest.raises(MalformedEvent):
        store_payload(folder, b"x" * 3_000_000)
    assert not folder.exists()


def test_files_expire_by_their_age(folder: Path) -> None:
    """Only what was written before is deleted, and no folder that somebody left; nothing there is nothing to do."""
    assert expire(folder, 50.0) == 0
    store_payload(folder, LARGE)
    store_payload(folder, generation("g2", 10.0))
    old = folder / json.loads(store_payload(folder, LARGE))["dataref"]
    (folder / "strange").mkdir()
    for one in (old, folder / "strange"):
        os.utime(one, (10.0, 10.0))
    assert expire(folder, 50.0) == 1
    assert not old.exists()
    assert len(list(folder.iterdir())) == 2


@pytest.mark.kafka
def test_it_goes_through_a_broker_that_takes_no_such_record(
    folder: Path, kafka_server: KafkaServer
) -> None:
    """Three megabytes of an event arrive whole through a broker with Kafka's default limit."""
    settings = KafkaSettings(bootstrap_servers=(kafka_server.bootstrap,), group_id="dataref")
    create_topics(settings, ["dataref"], partitions=1)
    sink = OversizeSink(KafkaSink(settings), folder)
    small = generation("g0", 9.0)
    sink.send("dataref", "s", small)
    sink.send("dataref", "s", LARGE)
    sink.flush(30.0)
    sink.close()
    source = KafkaSource(settings, ["dataref"], lambda partitions: {})
    records: list[bytes] = []
    while len(records) < 2:
        records += [record.value for record in source.poll(1.0, 10)]
    source.close()
    assert [resolve(value, folder) for value in records] == [small, LARGE]
    assert len(records[1]) < 500


def test_it_is_joined_and_scored_like_any(ledger: Ledger, folder: Path) -> None:
    """Its content is taken in by value, so that nothing depends on the file afterwards."""
    ledger.joiner.reader.data = folder
    ledger.take(store_payload(folder, LARGE))
    ledger.take(feedback("f1", "g1", Accepted(), 11.0), partition=FEEDBACK)
    for path in folder.iterdir():
        path.unlink()
    ledger.take(feedback("f2", "g1", Accepted(), 12.0), partition=FEEDBACK)
    assert ledger.ask("SELECT stage, reward, revision FROM episodes") == ("ready", 1.0, 2)


def test_a_lost_file_is_a_dead_letter_and_an_expired_one_a_repeat(
    make_ledger: Callable[[], Ledger], folder: Path
) -> None:
    """What was never read is buried by name; what was read and is read again moves nothing."""
    ledger = make_ledger()
    ledger.joiner.reader.data = folder
    reference, lost = store_payload(folder, LARGE), store_payload(folder, generation("g2", 11.0))
    ledger.take(reference)
    for path in folder.iterdir():
        path.unlink()
    counts = ledger.take(reference, lost).counts
    assert (counts.duplicate, counts.dead_lettered, counts.accepted) == (1, 1, 0)
    (reason,) = ledger.ask("SELECT reason FROM dead_letters")
    assert "is not in the data folder" in reason
    assert ledger.fates() == {"waiting": 1}
    assert decode_event(LARGE).id == "g1"
