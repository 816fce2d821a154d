"""Whole records: an event as JSON with the fields, too, that its writer leaves out as they say nothing."""

import json
from typing import Any

import msgspec

from rlwd.streams.events.event import Event, encode_event


def whole_record(event: Event) -> dict[str, Any]:
    """Return an event's record with every field of it."""
    return _filled(json.loads(encode_event(event)), event)


def _filled(told: dict[str, Any], struct: msgspec.Struct) -> dict[str, Any]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if field.encode_name not in told:
            told[field.encode_name] = json.loads(msgspec.json.encode(value))
        at = told[field.encode_name]
        if isinstance(value, msgspec.Struct):
            _filled(at, value)
        elif isinstance(value, tuple):
            for one, inner in zip(at, value, strict=True):
                if isinstance(inner, msgspec.Struct):
                    _filled(one, inner)
    return told
