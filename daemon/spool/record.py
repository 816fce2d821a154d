"""Record: one entry of the spool, as bytes on disk, little-endian.

    u32 length of body | u32 crc32 of body | body
    body = u8 kind | u16 len key | u16 len id | u16 len label | key | id | label | payload

`label` is `topic|day|variant`: what a tombstone counts when a record has to be dropped.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<BHHH")
READ_BYTES = 1 << 18
"""Of a segment that are read at once."""


class Kind(IntEnum):
    """What a record is."""

    ADMISSION = 1
    """A generation event, not captured; sent only where its end never came."""
    GENERATION = 2
    """A generation event: the end of its admission."""
    FEEDBACK = 3
    """A feedback event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record and where it ends."""

    kind: Kind
    """What it is."""
    key: str
    """Session id."""
    id: str
    """Generation or feedback id."""
    label: str
    """`topic|day|variant`."""
    payload: bytes
    """The event."""
    segment: int = 0
    """Number of its file."""
    end: int = 0
    """Offset after it."""

    @property
    def topic(self) -> str:
        """Where it goes."""
        return self.label.partition("|")[0]

    def frame(self) -> bytes:
        """Return the bytes on disk."""
        key, name, label = self.key.encode(), self.id.encode(), self.label.encode()
        head = _HEAD.pack(self.kind, len(key), len(name), len(label))
        body = b"".join((head, key, name, label, self.payload))
        return _FRAME.pack(len(body), zlib.crc32(body)) + body


def read_segment(file: int, segment: int, start: int, stop: int | None = None) -> Iterator[Entry]:
    """Yield the whole records from `start` on; end at the first that is torn or damaged.

    `file` is a descriptor, so that a segment is read also where its name is gone.
    """
    offset, held, first = start, b"", start

    def read(at: int, count: int) -> bytes:
        # In large pieces: a call for each record takes the processor's time from requests.
        nonlocal held, first
        if at + count > first + len(held):
            held, first = os.pread(file, max(count, READ_BYTES), at), at
        return held[at - first : at - first + count]

    while stop is None or offset < stop:
        frame = read(offset, _FRAME.size)
        if len(frame) < _FRAME.size:
            return
        length, crc = _FRAME.unpack(frame)
        body = read(offset + _FRAME.size, length)
        if len(body) < length or length < _HEAD.size or zlib.crc32(body) != crc:
            return
        offset += _FRAME.size + length
        yield _entry(body, segment, offset)


def _entry(body: bytes, segment: int, end: int) -> Entry:
    kind, key, name, label = _HEAD.unpack_from(body)
    a = _HEAD.size
    b, c = a + key, a + key + name
    return Entry(
        kind=Kind(kind),
        key=body[a:b].decode(),
        id=body[b:c].decode(),
        label=body[c : c + label].decode(),
        payload=body[c + label :],
        segment=segment,
        end=end,
    )
