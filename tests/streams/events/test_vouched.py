"""A reading is proven by the daemon's key: nobody else can write one, or change one."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.event import Feedback, FeedbackEvent, encode_event
from rlwd.streams.events.signals import FollowedUp, Judged
from rlwd.streams.events.vouched import is_vouched, reading_id, vouch_for
from rlwd.streams.readings.reading_keys import have_key
from rlwd.streams.readings.unread import ReadingScope

KEY = b"k" * 32
READ = Judged(direction="dissatisfied", value=0.1, confidence=0.9, reader="learned@0", message="f1")


def reading(key: bytes = KEY, signal: Judged = READ, **data: Any) -> FeedbackEvent:
    """Return a reading of f1 as the daemon writes it."""
    at = datetime(2026, 11, 26, 12, 0, 0, 123456, tzinfo=UTC)
    name = reading_id(key, "g1", signal.message, signal.reader, signal.rubric)
    said = Feedback(
        feedback_id=name,
        generation_id="g1",
        session_id="s",
        signal=signal,
        actor="system",
        redacted=(),
        **data,
    )
    event = FeedbackEvent(
        id=name, source="/reader", specversion="1.0", time=at, receivedtime=at, data=said
    )
    return vouch_for(event, key)


def test_a_proof_holds_for_its_record_alone() -> None:
    """Whatever is changed in it breaks it; the key that made it is the one that proves it."""
    event = reading()
    assert is_vouched(event, (b"other", KEY))
    assert not is_vouched(event, (b"other",))
    assert not is_vouched(event, ())
    said = event.data.signal
    changes: tuple[dict[str, Any], ...] = (
        {"value": 0.9},
        {"direction": "satisfied"},
        {"message": "f2"},
        {"proof": ""},
        {"proof": "\udcff"},
    )
    for change in changes:
        bent = msgspec.structs.replace(said, **change)
        data = msgspec.structs.replace(event.data, signal=bent)
        assert not is_vouched(msgspec.structs.replace(event, data=data), (KEY,))
    for field, value in (("generation_id", "g2"), ("tenant", "acme"), ("replaces", "f1")):
        data = msgspec.structs.replace(event.data, **{field: value})
        assert not is_vouched(msgspec.structs.replace(event, data=data), (KEY,))


@pytest.mark.parametrize("forged", [{"proof": ""}, {"value": 1.0, "direction": "satisfied"}])
def test_a_forged_reading_is_a_dead_letter(ledger: Ledger, forged: dict[str, Any]) -> None:
    """Whoever may write to the topic can make none, and change none that the daemon wrote."""
    with ledger.store.transaction() as tx:
        key = have_key(tx, "policy", 1.0)
        assert have_key(tx, "policy", 2.0) == key
    ledger.take(generation("g1", 1.0))
    ledger.take(feedback("f1", "g1", FollowedUp(text="no"), 2.0), partition=FEEDBACK)
    event = reading(key)
    signal = msgspec.structs.replace(event.data.signal, **forged)
    data = msgspec.structs.replace(event.data, signal=signal)
    bad = encode_event(msgspec.structs.replace(event, data=data))
    assert ledger.take(bad, partition=FEEDBACK).counts.dead_lettered == 1
    assert "$.data.signal.proof" in ledger.ask("SELECT reason FROM dead_letters")[0]
    assert ledger.take(encode_event(event), partition=FEEDBACK).counts.accepted == 1
    assert ledger.take(encode_event(event), partition=FEEDBACK).counts.duplicate == 1


def test_a_replay_believes_its_recording(ledger: Ledger) -> None:
    """The key stays where it was made: who replays a log vouches for it."""
    ledger.joiner.reader.readings = ReadingScope(unproven=True)
    ledger.take(generation("g1", 1.0))
    assert ledger.take(encode_event(reading()), partition=FEEDBACK).counts.accepted == 1


def test_a_configured_key_counts_beside_the_stored_ones(ledger: Ledger) -> None:
    """So a new state database, fed from an old topic, believes what was written before it."""
    ledger.joiner.reader.readings = ReadingScope(keys=(KEY,))
    ledger.take(generation("g1", 1.0))
    assert ledger.take(encode_event(reading()), partition=FEEDBACK).counts.accepted == 1


def test_nobody_knows_the_id_of_a_reading_beforehand() -> None:
    """A product that posted feedback under the id would keep the reading out as a duplicate."""
    ids = {reading_id(key, "g1", "f1", "learned@0", "") for key in (KEY, b"l" * 32)}
    assert len(ids) == 2
    assert reading_id(KEY, "g1", "f1", "learned@0", "") in ids
    assert reading_id(KEY, "g1", "f1", "learned@0", "style") not in ids
