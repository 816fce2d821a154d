"""LostCounts: how many records a gateway could not keep, counted also where the disk takes no more.

The file is made at its full size while there is room, and written in place afterwards: two halves in
turn, each with its number and checksum, so that a kill in the middle leaves the other.

    half = u64 number | u32 length | u32 crc32 | JSON {label: count}
"""

import json
import os
import struct
import zlib
from collections import Counter
from pathlib import Path

NAME = "lost.bin"
OLD_NAME = "tombstones.json"
"""As written up to 0.1.0; read for what it counts."""
HALF_BYTES = 1 << 15
_HEAD = struct.Struct("<QII")


class LostCounts:
    """Counts by `topic|day|variant` that survive a kill. Raises OSError where there is no room."""

    def __init__(self, folder: Path) -> None:
        self._number, self.counts = _read(folder)
        self._file = -1
        self.open(folder)

    def open(self, folder: Path) -> None:
        """Take the folder's file, or make it, with what is counted so far."""
        file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, 2 * HALF_BYTES)
        except OSError:
            os.close(file)
            raise
        self.close()
        self._file = file
        self._write()

    def add(self, counts: Counter[str]) -> None:
        """Count on; negative takes back what was counted too early."""
        self.counts.update(counts)
        for label in [label for label, count in self.counts.items() if count <= 0]:
            del self.counts[label]
        self._write()

    def _write(self) -> None:
        raw = json.dumps(self.counts).encode()
        while len(raw) > HALF_BYTES - _HEAD.size:
            self._merge_oldest()
            raw = json.dumps(self.counts).encode()
        self._number += 1
        head = _HEAD.pack(self._number, len(raw), zlib.crc32(raw))
        os.pwrite(self._file, head + raw, self._number % 2 * HALF_BYTES)
        os.fdatasync(self._file)

    def _merge_oldest(self) -> None:
        """Count the two oldest days of a topic and variant as one; the sum stays."""
        days: dict[tuple[str, str], list[str]] = {}
        for label in self.counts:
            topic, day, variant = [*label.split("|"), "", ""][:3]
            days.setdefault((topic, variant), []).append(day)
        (topic, variant), found = max(days.items(), key=lambda item: len(item[1]))
        oldest, next_oldest = sorted(found)[:2]
        moved = self.counts.pop(f"{topic}|{oldest}|{variant}")
        self.counts[f"{topic}|{next_oldest}|{variant}"] += moved

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_lost(folder: Path) -> Counter[str]:
    """Return what the gateway of this folder has lost; nothing where there is no folder."""
    return _read(folder)[1]


def _read(folder: Path) -> tuple[int, Counter[str]]:
    number, counts = 0, None
    try:
        raw = (folder / NAME).read_bytes()
    except FileNotFoundError:
        raw = b""
    for half in (raw[:HALF_BYTES], raw[HALF_BYTES:]):
        if len(half) < _HEAD.size:
            continue
        written, length, crc = _HEAD.unpack_from(half)
        body = half[_HEAD.size : _HEAD.size + length]
        if written > number and len(body) == length and zlib.crc32(body) == crc:
            number, counts = written, Counter(json.loads(body))
    return number, _read_old(folder) if counts is None else counts


def _read_old(folder: Path) -> Counter[str]:
    try:
        found = json.loads((folder / OLD_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return Counter()
    return Counter(found) if isinstance(found, dict) else Counter()
