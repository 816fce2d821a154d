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

import msgspec

PREFIX = "ce_"

Header = tuple[str, bytes | None]


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
