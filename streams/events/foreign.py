"""Records that are no events and are well known all the same, so that a reason can name them."""

import msgspec


class _TopLevel(msgspec.Struct):
    """The keys by which envelopes of other systems are told."""

    before: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    after: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    op: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_DECODER = msgspec.json.Decoder(_TopLevel)


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
    try:
        found = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
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


def _payload_of(found: _TopLevel) -> _TopLevel | None:
    if found.payload is msgspec.UNSET:
        return None
    try:
        return _DECODER.decode(found.payload)
    except msgspec.DecodeError:
        return None
