"""Vouched: feedback that the daemon alone writes, proven by a keyed hash.

Whoever may write to the topic could otherwise say of any answer what its person thought.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

import msgspec

from .event import FeedbackEvent
from .signals import Judged

_ENCODE = msgspec.json.Encoder(order="deterministic").encode


def reading_id(key: bytes, generation_id: str, message: str, reader: str, rubric: str) -> str:
    """Return the id of the reading of a message by a reader: the same whenever it is made again.

    Keyed, so that nobody else can take its place beforehand.
    """
    told = f"{generation_id}\0{message}\0{reader}\0{rubric}"
    return f"judged:{hashlib.blake2b(told.encode(), key=key[:64], digest_size=12).hexdigest()}"


def vouch_for(event: FeedbackEvent, key: bytes) -> FeedbackEvent:
    """Return an event of a `judged` signal with its proof."""
    return _with_proof(event, _proof(event, key))


def is_vouched(event: FeedbackEvent, keys: Sequence[bytes]) -> bool:
    """Return whether the proof of a `judged` signal was made with one of these keys."""
    assert isinstance(event.data.signal, Judged)
    said = event.data.signal.proof.encode(errors="replace")
    return any(hmac.compare_digest(_proof(event, key).encode(), said) for key in keys)


def _proof(event: FeedbackEvent, key: bytes) -> str:
    """Hash all that the record says, but who looked at its texts: it has none."""
    data = msgspec.structs.replace(_with_proof(event, "").data, redacted=None)
    told = (event.id, event.source, _time(event.time), _time(event.receivedtime), data)
    return hashlib.blake2b(_ENCODE(told), key=key[:64], digest_size=32).hexdigest()


def _with_proof(event: FeedbackEvent, proof: str) -> FeedbackEvent:
    assert isinstance(event.data.signal, Judged)
    signal = msgspec.structs.replace(event.data.signal, proof=proof)
    data = msgspec.structs.replace(event.data, signal=signal)
    return msgspec.structs.replace(event, data=data)


def _time(at: datetime) -> float:
    return at.timestamp()
