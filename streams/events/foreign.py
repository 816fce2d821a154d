"""Records that are no events and are well known all the same, so that a reason can name them."""

import json

import msgspec


class _TopLevel(msgspec.Struct):
    """The keys by which envelopes of other systems are told."""

    before: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    after: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    op: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_DECODER = msgspec.json.Decoder(_TopLevel)
_HALF_PAIR = (
    "a text that holds half a surrogate pair, as of an emoji that was cut in two: UTF-8 has no such"
    " text (in JavaScript, toWellFormed() before JSON.stringify)"
)


def name_foreign(raw: bytes) -> str | None:
    """Return what a record is that cannot be read as an event, and what to do; None if unknown.

    >>> name_foreign(b"")
    'a tombstone: the record has no value; compacted topics delete with these, rlwd forgets by erase'
    """
    if not raw:
        return (
            "a tombstone: the record has no value; compacted topics delete with these,"
            " rlwd forgets by erase"
        )
    if raw[0] == 0 and len(raw) > 5:
        schema = int.from_bytes(raw[1:5])
        return (
            f"Confluent's wire format (magic byte 0, schema id {schema}): write the event as plain"
            " JSON, with a string or byte-array serializer"
        )
    if raw[:2] == b"\x1f\x8b":
        return (
            "a value compressed with gzip by its producer: leave that to Kafka's compression.type,"
            " which readers undo"
        )
    try:
        found = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _HALF_PAIR if _holds_half_pair(raw) else None
    inner = _payload_of(found) or found
    if inner.op is not msgspec.UNSET and (
        inner.after is not msgspec.UNSET or inner.before is not msgspec.UNSET
    ):
        return (
            "Debezium's change event (before, after, op): unwrap it with the ExtractNewRecordState"
            " transform, or its outbox event router"
        )
    if found.schema is not msgspec.UNSET and found.payload is not msgspec.UNSET:
        return (
            "Kafka Connect's JSON with a schema (schema, payload): set"
            " value.converter.schemas.enable to false"
        )
    return None


def _holds_half_pair(raw: bytes) -> bool:
    """Return whether it is JSON but for a text that no UTF-8 can hold."""
    if b"\\ud" not in raw.lower():
        return False
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _payload_of(found: _TopLevel) -> _TopLevel | None:
    if found.payload is msgspec.UNSET:
        return None
    try:
        return _DECODER.decode(found.payload)
    except msgspec.DecodeError:
        return None
