"""CloudEvents in binary mode: attributes in Kafka's headers, the data alone in the value.

    ce_specversion: 1.0, ce_id: s1.g1, ce_source: /gateway/eu-1, ce_type: rlwd.generation.v1,
    ce_time: 2026-11-21T12:00:00Z, ce_receivedtime: 2026-11-21T12:00:01Z
    content-type: application/json
    {"generation_id": "s1.g1", ...}

Such a record is read as if it had been written in structured mode, and that is what a dead letter
and the state database keep of it, since without its headers its bytes say little.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from .ports import Partition, Record

PREFIX = "ce_"

Header = tuple[str, bytes | None]


class Consumed(Protocol):
    """A record as the client gives it."""

    offset: int
    """Its position in its partition."""
    key: bytes | None
    """Its key."""
    value: bytes | None
    """Its bytes; None of a tombstone."""
    headers: Sequence[Header]
    """Its headers."""
    timestamp: int
    """Of the producer or the broker, ms; below 0 where there is none."""


def record_of(partition: Partition, each: Consumed) -> Record:
    """Return a record as it is read here, whatever its mode."""
    # A tombstone has no value. It is no event, and its dead letter says so.
    value = each.value or b""
    if each.headers:
        value = as_structured(value, each.headers, each.timestamp)
    return Record(partition=partition, offset=each.offset, key=each.key, value=value)


def as_structured(value: bytes, headers: Sequence[Header], timestamp_ms: int) -> bytes:
    """Return a record's value in structured mode; it is returned as it is where it is no binary one.

    `receivedtime` is our own extension: where a producer does not write it, Kafka's timestamp of the
    record, which says when the producer wrote it to the log, takes its place.
    """
    attributes: dict[str, object] = {
        name[len(PREFIX) :]: (text or b"").decode("utf-8", "replace")
        for name, text in headers
        if name.startswith(PREFIX)
    }
    if "specversion" not in attributes:
        return value
    if "receivedtime" not in attributes and timestamp_ms >= 0:
        at = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        attributes["receivedtime"] = at.isoformat()
    # What is no JSON stays visible, and is refused as data of the wrong kind.
    data: object = msgspec.Raw(value) if _is_json(value) else value.decode("utf-8", "replace")
    return msgspec.json.encode({**attributes, "data": data})


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value, type=msgspec.Raw)
        value.decode()
    except ValueError:
        return False
    return True
