"""Limits: what no record may be, though its schema cannot say so. Each was found by fuzzing.

Raised is ValueError, with the path of the field where there is one.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

DEEPEST = 200
"""Most levels that a record, a request or a call's arguments nest. Ours need five; what is not ours is
skipped, but by recursion. orjson reads 1,024 levels and writes 254: what is read must be written again,
to an engine or a file, within some levels of others."""
NAME_BYTES = 512
"""Most bytes of what becomes a column: indexes end at some 2,700 bytes for all columns together."""
REASON_CHARACTERS = 500
"""Most of a reason that a dead letter keeps: it may quote a value of any length."""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Times outside have no day that every calendar knows, whatever their zone."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check_depth(raw: bytes) -> None:
    """Refuse JSON that nests deeper than `DEEPEST`."""
    if len(raw) <= DEEPEST:
        return
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return
    depth = 0
    for bracket in _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"$: nests deeper than {DEEPEST} levels")


def read_json(text: str | bytes) -> Any:
    """Return what a JSON text says; raises ValueError where it is none, or nests too deep to be written."""
    check_depth(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    return orjson.loads(text)


def check_time(path: str, at: datetime) -> None:
    """Refuse a time without a zone, or of no calendar's day."""
    if at.tzinfo is None:
        raise ValueError(f"{path}: a time needs its zone, such as a final Z")
    if 1970 < at.year < 9998:  # Whatever the zone; to compare two times takes five times as long.
        return
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"{path}: {at.isoformat()} is not in the years 1970 to 9998")


def check_name(path: str, name: str) -> None:
    """Refuse what not every database takes as a column: a NUL, or too many bytes."""
    if "\0" in name:
        raise ValueError(f"{path}: holds a NUL character")
    if len(name) > NAME_BYTES or (not name.isascii() and len(name.encode()) > NAME_BYTES):
        raise ValueError(f"{path}: is longer than {NAME_BYTES} bytes of UTF-8")


def check_names(prefix: str, fields: Sequence[str], names: Sequence[str]) -> None:
    """Refuse what `check_name` refuses, in any of these fields; looks at all of them at once."""
    together = "".join(names)
    if len(together) <= NAME_BYTES and together.isascii() and "\0" not in together:
        return
    for field, name in zip(fields, names, strict=True):
        check_name(prefix + field, name)


def as_reason(problem: Exception) -> str:
    """Return what a problem says, fit for a dead letter."""
    text = str(problem).replace("\0", "\\u0000")
    if len(text) <= REASON_CHARACTERS:
        return text
    # Both ends: the path of the field comes last, after the value.
    return f"{text[: REASON_CHARACTERS // 2]} … {text[-REASON_CHARACTERS // 2 :]}"
