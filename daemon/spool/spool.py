"""Spool: what the gateway saw, appended to files until the log has it (CONTRACTS 6).

A record is one `write`: it survives a kill of the process, and needs no fsync per request. Files
are numbered segments; each process life begins a new one, so that a tail torn by a crash is never
written after.
"""

import contextlib
import errno
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from .folder import SpoolBusy, SpoolFolder
from .losses import Losses
from .record import Entry, Kind, read_segment

__all__ = ["Entry", "Kind", "Spool", "SpoolBusy"]

log = structlog.get_logger()


class Spool:
    """One process's records on disk: the gateway appends, the forwarder's thread reads.

    Over `max_bytes` the oldest segment goes; what it held unsent is counted in `tombstones`, and so
    is a generation that the disk did not take. Raises SpoolBusy where another process has the folder.
    `append` raises OSError where the disk takes no more; nothing of that record stays.
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
        self.restored = 0  # times that the folder was removed and made again
        self._losses = Losses(self._files.lost)
        self._open: dict[str, Entry] = {}
        self._unsent: dict[int, Counter[str]] = {}
        self._claimed: list[Entry] = []
        self._cursor = self._position = self._files.cursor
        with self._files.given_up_on_error():
            self._scan()
            self._rotate()
            for orphan in list(self._open.values()):
                self._write(replace(orphan, kind=Kind.GENERATION))
            self._retire()

    def _scan(self) -> None:
        """Find what is unsent, and the admissions whose end never came."""
        for segment, size in self._files.sizes.items():
            whole = 0
            for entry in read_segment(self._files.files[segment], segment, 0):
                whole = entry.end
                if entry.kind is Kind.ADMISSION:
                    self._open[entry.id] = entry
                    continue
                self._open.pop(entry.id, None)
                if (segment, entry.end) > self._cursor:
                    self._count(entry.segment, entry.label, 1)
            self.torn += whole < size

    def _count(self, segment: int, label: str, by: int) -> None:
        self._unsent.setdefault(segment, Counter())[label] += by

    def _rotate(self) -> None:
        number = max([*self._files.sizes, self._cursor[0]], default=0) + 1
        self._fd, self._active = self._files.create(number), number

    def append(self, kind: Kind, key: str, name: str, label: str, payload: bytes) -> None:
        """Put one record on disk; once this returns, a kill of the process does not lose it.

        Raises OSError, and then a generation is counted as lost, unless its admission is on disk.
        """
        entry = Entry(kind=kind, key=key, id=name, label=label, payload=payload)
        with self._lock:
            try:
                self._restore()
                self._write(entry)
            except (OSError, SpoolBusy) as problem:
                self._losses.failed(entry, self._open.get(name))
                raise (
                    problem if isinstance(problem, OSError) else OSError(str(problem))
                ) from problem
            self._losses.written(entry)
            # Admissions whose end the disk did not take go out now that it takes something.
            for admission in self._losses.take_cut():
                with contextlib.suppress(OSError):
                    self._write(replace(admission, kind=Kind.GENERATION))
            while sum(self._files.sizes.values()) > self.max_bytes and len(self._files.sizes) > 1:
                self._drop_oldest()
        # Who reads clears it under the lock, and finds this record then.
        if not self.waiting.is_set():
            self.waiting.set()

    def _write(self, entry: Entry) -> None:
        frame, size = entry.frame(), self._files.sizes[self._active]
        if size and size + len(frame) > self.segment_bytes:
            self._rotate()
            size = 0
        try:
            if os.write(self._fd, frame) != len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        self._files.sizes[self._active] = size + len(frame)
        if entry.kind is Kind.ADMISSION:
            self._open[entry.id] = replace(entry, segment=self._active)
        else:
            self._open.pop(entry.id, None)
            self._count(self._active, entry.label, 1)

    def _restore(self) -> None:
        """Where somebody removed the folder, make it again and write again what it held unsent.

        Removed files can be read for as long as they are open. Raises OSError where there is no
        room, and then nothing has changed; what is claimed meanwhile is sent twice, and counts once.
        """
        if os.fstat(self._fd).st_nlink:
            return
        log.error("spool_folder_removed", folder=str(self.folder))
        self._files.take_again()
        files, held = self._files, self._files.pending(self._open, self._cursor)
        before = dict(files.files), dict(files.sizes), self._fd, self._active
        opened, unsent = self._open, self._unsent
        self._open, self._unsent, files.files, files.sizes = {}, {}, {}, {}
        try:
            self._active = before[3] + 1
            self._fd = files.create(self._active)
            for entry in held:
                self._write(entry)
        except OSError:
            for number in list(files.files):
                files.delete(number)
            files.files, files.sizes, self._fd, self._active = before
            self._open, self._unsent = opened, unsent
            raise
        for file in before[0].values():
            os.close(file)
        self._claimed, self._cursor = [], (before[3] + 1, 0)
        self._position = self._cursor
        self._files.note_cursor(self._cursor)
        self.restored += 1

    def _drop_oldest(self) -> None:
        """Let the oldest segment go; admissions still open in it are written again."""
        oldest = min(self._files.sizes)
        lost = +self._unsent.pop(oldest, Counter())
        self._files.delete(oldest)
        self._losses.count(lost)
        for entry in [e for e in self._open.values() if e.segment == oldest]:
            self._write(entry)

    @property
    def tombstones(self) -> Counter[str]:
        """Records lost in all lives, by `topic|day|variant`."""
        return self._losses.tombstones

    @property
    def dropped(self) -> int:
        """Records lost in this life."""
        return self._losses.dropped

    def count_lost(self, lost: Counter[str]) -> None:
        """Leave tombstones for records that will never be sent."""
        with self._lock:
            self._losses.count(lost)

    def read(self, limit: int) -> list[Entry]:
        """Claim the next unsent records, in order; `advance` or `release` must follow."""
        with self._lock:
            assert not self._claimed, "the records read before were neither sent nor given back"
            with contextlib.suppress(OSError, SpoolBusy):
                self._restore()
            self.waiting.clear()
            sizes, position, restored = dict(self._files.sizes), self._position, self.restored
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
            if restored != self.restored:
                return []  # written again meanwhile, under other places
            self._position = position
            found = [e for e in found if e.segment in self._files.sizes]
            for entry in found:
                self._count(entry.segment, entry.label, -1)
            self._claimed = found
        return found

    def _entries(self, segment: int, start: int, stop: int) -> Iterator[Entry]:
        with self._lock:
            if segment not in self._files.files:
                return  # dropped meanwhile, and counted
            file = os.dup(self._files.files[segment])
        try:
            yield from read_segment(file, segment, start, stop)
        finally:
            os.close(file)

    def advance(self) -> None:
        """Note that all claimed records are durable elsewhere, and delete what is done with."""
        with self._lock:
            self._claimed, self._cursor = [], self._position
            self._files.note_cursor(self._cursor)
            self._retire()

    def release(self) -> None:
        """Give claimed records back; what was dropped meanwhile is counted as lost."""
        with self._lock:
            lost = Counter(e.label for e in self._claimed if e.segment not in self._files.sizes)
            for entry in (e for e in self._claimed if e.segment in self._files.sizes):
                self._count(entry.segment, entry.label, 1)
            self._claimed, self._position = [], self._cursor
            self._losses.count(lost)

    def _retire(self) -> None:
        """Delete segments from the oldest on, as long as they are sent and nothing is open."""
        held = {entry.segment for entry in self._open.values()}
        for segment in sorted(self._files.sizes):
            if segment >= min(self._cursor[0], self._active) or segment in held:
                return
            self._unsent.pop(segment, None)
            self._files.delete(segment)

    @property
    def unsent(self) -> int:
        """Records that the log does not have yet, claimed ones among them."""
        with self._lock:
            return len(self._claimed) + sum(c.total() for c in self._unsent.values())

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(self._files.sizes.copy().values())

    def close(self) -> None:
        """Let go of the folder, made again if it was removed; what is unsent stays in it."""
        with self._lock, contextlib.suppress(OSError, SpoolBusy):
            self._restore()
        self._files.close()
