"""Unknown kind: a signal that a later rlwd knows is kept by this one, whatever stands in it."""

import re

import msgspec

from .signals import SIGNALS, UnknownSignal

KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in SIGNALS)
KEPT = str(UnknownSignal.__struct_config__.tag)
"""How such a signal stands in the state database; no record may say it."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What the name of a kind looks like; anything else is a mistake of its writer's."""


def with_unknown_kind(raw: bytes) -> bytes | None:
    """Return a record of feedback with its signal as `UnknownSignal`; None where that is not the matter.

    Everything else of the record is as it was, and checked by whoever decodes it.
    """
    try:
        record = msgspec.json.decode(raw)
        signal = record["data"]["signal"]
        kind = signal["kind"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if record.get("type") != "rlwd.feedback.v1" or not isinstance(kind, str):
        return None
    if kind in KNOWN or kind == KEPT or not _KIND.fullmatch(kind):
        return None
    record["data"]["signal"] = {"kind": KEPT, "named": kind, "fields": signal}
    return msgspec.json.encode(record)
