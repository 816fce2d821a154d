"""Spool: what the gateway saw, appended to files until the log has it (CONTRACTS 6).

A record is one `write`: it survives a kill of the process, and needs no fsync per request. Files
are numbered segments; each process life begins a new one, so that a tail torn by a crash is never
written after.
"""

import errno
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .folder import SpoolBusy, SpoolFolder
from .record import Entry, Kind, read_segment

__all__ = ["Entry", "Kind", "Spool", "SpoolBusy"]


class Spool:
    """One process's records on disk: appended by the gateway, read by the forwarder's thread.

    Over `max_bytes` the oldest segment goes; what it held unsent is counted in `tombstones`.
    Raises SpoolBusy where another process has the folder. `append` raises OSError where the disk
    takes no more; nothing of that record stays.
    """

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = 8 << 20) -> None:
        self.max_bytes = max_bytes
        self.segment_bytes = max(1, min(segment_bytes, max_bytes // 8))
        self._lock = threading.Lock()
        self._files = SpoolFolder(folder)
        self.folder = folder
        self.waiting = threading.Event()
        """Set where there may be something to forward."""
        self.torn = 0
        """Segments that ended in a torn or damaged record."""
        self.dropped = 0
        """Unsent records dropped in this life."""
        self.tombstones: Counter[str] = Counter(self._files.tombstones)
        """Unsent records dropped in all lives, by `topic|day|variant`."""
        self._open: dict[str, Entry] = {}
        self._unsent: dict[int, Counter[str]] = {}
        self._sizes = self._files.sizes()
        self._claimed: list[Entry] = []
        self._cursor = self._position = self._files.cursor
        self._fd = -1
        self._scan()
        self._rotate()
        for orphan in list(self._open.values()):
            self._write(replace(orphan, kind=Kind.GENERATION))
        self._retire()

    def _scan(self) -> None:
        """Find what is unsent, and the admissions whose end never came."""
        for segment, size in self._sizes.items():
            whole = 0
            for entry in read_segment(self._files.segment(segment), segment, 0):
                whole = entry.end
                if entry.kind is Kind.ADMISSION:
                    self._open[entry.id] = entry
                    continue
                self._open.pop(entry.id, None)
                if (segment, entry.end) > self._cursor:
                    self._count(entry, 1)
            self.torn += whole < size

    def _count(self, entry: Entry, by: int) -> None:
        self._unsent.setdefault(entry.segment, Counter())[entry.label] += by

    def _rotate(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._active = max([*self._sizes, self._cursor[0]], default=0) + 1
        self._fd = self._files.create(self._active)
        self._sizes[self._active] = 0

    def append(self, kind: Kind, key: str, name: str, label: str, payload: bytes) -> None:
        """Put one record on disk; once this returns, a kill of the process does not lose it."""
        entry = Entry(kind=kind, key=key, id=name, label=label, payload=payload)
        with self._lock:
            self._write(entry)
            while sum(self._sizes.values()) > self.max_bytes and len(self._sizes) > 1:
                self._drop_oldest()
        self.waiting.set()

    def _write(self, entry: Entry) -> None:
        frame, size = entry.frame(), self._sizes[self._active]
        if size and size + len(frame) > self.segment_bytes:
            self._rotate()
            size = 0
        try:
            if os.write(self._fd, frame) != len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        self._sizes[self._active] = size + len(frame)
        placed = replace(entry, segment=self._active)
        if entry.kind is Kind.ADMISSION:
            self._open[entry.id] = placed
        else:
            self._open.pop(entry.id, None)
            self._count(placed, 1)

    def _drop_oldest(self) -> None:
        """Let the oldest segment go; admissions still open in it are written again."""
        oldest = min(self._sizes)
        lost = +self._unsent.pop(oldest, Counter())
        self._forget(oldest)
        if lost:
            self.count_lost(lost)
        for entry in [e for e in self._open.values() if e.segment == oldest]:
            self._write(entry)

    def count_lost(self, lost: Counter[str]) -> None:
        """Leave tombstones for records that will never be sent."""
        self.dropped += lost.total()
        self.tombstones.update(lost)
        self._files.tombstones = dict(self.tombstones)

    def _forget(self, segment: int) -> None:
        self._files.delete(segment)
        del self._sizes[segment]

    def read(self, limit: int) -> list[Entry]:
        """Claim the next unsent records, in order; `advance` or `release` must follow."""
        with self._lock:
            assert not self._claimed, "the records read before were neither sent nor given back"
            self.waiting.clear()
            sizes, position = dict(self._sizes), self._position
        found: list[Entry] = []
        for segment in sorted(s for s in sizes if s >= position[0]):
            start = position[1] if segment == position[0] else 0
            if len(found) >= limit:
                break
            position = (segment, start)
            for entry in self._entries(segment, start, sizes[segment]):
                position = (segment, entry.end)
                if entry.kind is not Kind.ADMISSION:
                    found.append(entry)
                if len(found) >= limit:
                    break
        with self._lock:
            self._position = position
            found = [e for e in found if e.segment in self._sizes]
            for entry in found:
                self._count(entry, -1)
            self._claimed = found
        return found

    def _entries(self, segment: int, start: int, stop: int) -> Iterator[Entry]:
        try:
            yield from read_segment(self._files.segment(segment), segment, start, stop)
        except FileNotFoundError:
            return  # dropped meanwhile, and counted

    def advance(self) -> None:
        """Note that all claimed records are durable elsewhere, and delete what is done with."""
        with self._lock:
            self._claimed, self._cursor = [], self._position
            self._files.cursor = self._cursor
            self._retire()

    def release(self) -> None:
        """Give claimed records back; what was dropped meanwhile is buried."""
        with self._lock:
            lost = Counter(e.label for e in self._claimed if e.segment not in self._sizes)
            for entry in (e for e in self._claimed if e.segment in self._sizes):
                self._count(entry, 1)
            self._claimed, self._position = [], self._cursor
            if lost:
                self.count_lost(lost)

    def _retire(self) -> None:
        """Delete segments from the oldest on, as long as they are sent and nothing is open."""
        held = {entry.segment for entry in self._open.values()}
        for segment in sorted(self._sizes):
            if segment >= min(self._cursor[0], self._active) or segment in held:
                return
            self._unsent.pop(segment, None)
            self._forget(segment)

    @property
    def unsent(self) -> int:
        """Records that the log does not have yet, claimed ones among them."""
        with self._lock:
            return len(self._claimed) + sum(c.total() for c in self._unsent.values())

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes.copy().values())

    def close(self) -> None:
        """Let go of the folder; what is unsent stays for the next life."""
        os.close(self._fd)
        self._files.close()
