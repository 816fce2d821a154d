"""Dead letters: kept with the reason, forwarded at least once, large ones by digest (CONTRACTS 4)."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, feedback

from rlwd.streams.events.signals import Accepted
from rlwd.streams.join import dead_letters
from rlwd.streams.join.dead_letters import TOPIC_BYTES, forward_dead_letters
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.log.ports import Record

TOPIC = "rlwd.deadletter"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedSink]:
    """A real log for the dead-letter topic."""
    sink = EmbeddedSink(tmp_path / "log.db")
    yield sink
    sink.close()


def forwarded(tmp_path: Path) -> list[Record]:
    source = EmbeddedSource(tmp_path / "log.db", (TOPIC,), lambda partitions: {})
    found = source.poll(0.0, 1000)
    source.close()
    return found


def forward(ledger: Ledger, log: EmbeddedSink) -> int:
    return forward_dead_letters(ledger.store, "policy", log, TOPIC)


def letter_of(record: Record) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(record.value)
    return read


def test_a_letter_says_where_it_stood_and_why(
    ledger: Ledger, log: EmbeddedSink, tmp_path: Path
) -> None:
    """The topic gets place, reason and bytes, under a key that names the place; once is enough."""
    junk = b'{"specversion": "1.0", "type": "rlwd.generation.v9"}'
    ledger.take(junk, partition=GENERATIONS)
    assert forward(ledger, log) == 1
    assert forward(ledger, log) == 0
    (record,) = forwarded(tmp_path)
    assert record.key == b"generations/0/0"
    letter = letter_of(record)
    assert letter["record"] == "generations/0/0"
    assert "rlwd.generation.v9" in letter["reason"]
    assert base64.b64decode(letter["value_base64"]) == junk
    assert (letter["bytes"], letter["sha256"]) == (len(junk), hashlib.sha256(junk).hexdigest())


def test_a_large_record_goes_by_its_digest(
    ledger: Ledger, log: EmbeddedSink, tmp_path: Path
) -> None:
    """The topic gets the first 64 kB and the digest of the whole, which stays in the database."""
    large = b"x" * (3 * 1024 * 1024) + b"end"
    ledger.take(large, partition=GENERATIONS)
    forward(ledger, log)
    letter = letter_of(forwarded(tmp_path)[0])
    assert base64.b64decode(letter["value_base64"]) == large[:TOPIC_BYTES]
    assert letter["bytes"] == len(large)
    assert letter["sha256"] == hashlib.sha256(large).hexdigest()
    assert ledger.ask("SELECT value FROM dead_letters") == (large,)


class Cut:
    """A log that dies after it has written and before it said so."""

    def __init__(self, log: EmbeddedSink) -> None:
        self.log = log

    def send(self, topic: str, key: str, value: bytes) -> None:
        self.log.send(topic, key, value)

    def flush(self, timeout_seconds: float) -> None:
        self.log.flush(timeout_seconds)
        raise ConnectionError("cut")

    def close(self) -> None:
        self.log.close()


def test_a_crash_before_the_mark_sends_it_again(
    ledger: Ledger, log: EmbeddedSink, tmp_path: Path
) -> None:
    """Nothing is marked as forwarded before the log has it: twice rather than never."""
    ledger.take(b"junk", partition=GENERATIONS)
    with pytest.raises(ConnectionError, match="cut"):
        forward_dead_letters(ledger.store, "policy", Cut(log), TOPIC)
    assert ledger.ask("SELECT forwarded FROM dead_letters") == (0,)
    assert forward(ledger, log) == 1
    assert [record.key for record in forwarded(tmp_path)] == [b"generations/0/0"] * 2


def test_a_record_read_again_is_one_letter(ledger: Ledger) -> None:
    """A topic that is read again from zero buries nothing twice, and counts duplicates."""
    ledger.take(b"junk", b"more", partition=GENERATIONS)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE offsets SET next = 0")
        ledger.joiner.resume(tx, [GENERATIONS])
    ledger.ends.clear()
    again = ledger.take(b"junk", b"more", partition=GENERATIONS)
    assert (again.counts.dead_lettered, again.counts.duplicate) == (0, 2)
    assert ledger.ask("SELECT COUNT(*) FROM dead_letters") == (2,)


def test_feedback_without_a_generation_is_buried_after_its_horizon(
    ledger: Ledger, log: EmbeddedSink, tmp_path: Path
) -> None:
    """It waits for its horizon, then goes the way of all that cannot be used, by name."""
    ledger.take(feedback("f1", "nobody", Accepted(), 10.0), partition=FEEDBACK)
    assert ledger.close(read_past=109.0) == 0
    assert ledger.close(read_past=111.0) == 1
    forward(ledger, log)
    letter = letter_of(forwarded(tmp_path)[0])
    assert letter["record"] == "feedback/0/0"
    assert letter["reason"].startswith("unknown_generation: nobody")


def test_the_oldest_go_first_and_not_all_at_once(ledger: Ledger) -> None:
    """A backlog is forwarded in portions."""
    for now in (3.0, 1.0, 2.0):
        ledger.take(f"junk {now}".encode(), partition=GENERATIONS, now=now)
    with ledger.store.reading() as view:
        letters = dead_letters.unforwarded(view, "policy", limit=2)
    assert [letter.value for letter in letters] == [b"junk 1.0", b"junk 2.0"]
