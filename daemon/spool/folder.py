"""SpoolFolder: the files of one process's spool, and the lock that keeps other processes out."""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from ...streams.state.file_lock import FileLocked, lock_file
from .lost import LostCounts
from .record import Entry, Kind, read_segment

log = structlog.get_logger()

_SEGMENT = re.compile(r"[0-9]{12}\.seg")


class SpoolBusy(RuntimeError):
    """Another process writes to this folder."""


class SpoolFolder:
    """Segments, cursor and lost counts on disk. Raises SpoolBusy where another process has it; after
    that, as after an OSError, nothing stays open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[int, int] = {}
        """Bytes of each segment, oldest first; kept up to date by whoever writes."""
        self.files: dict[int, int] = {}
        self._lock = self._take()
        try:
            self.lost = LostCounts(path)
        except BaseException:
            os.close(self._lock)
            raise
        with self.given_up_on_error():
            # Held open: a segment is still read where its name was removed.
            for number, segment in self._segments():
                self.files[number] = os.open(segment, os.O_RDONLY)
                self.sizes[number] = os.fstat(self.files[number]).st_size

    @contextlib.contextmanager
    def given_up_on_error(self) -> Iterator[None]:
        """Within, an error closes all, so that it may be tried again, and leaves no empty segment each time."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                for number in [one for one, size in self.sizes.items() if not size]:
                    self.delete(number)
            self.close()
            raise

    def _segments(self) -> Iterator[tuple[int, Path]]:
        """Yield our segments, oldest first; anything else that lies there is somebody's own, and stays."""
        for path in sorted(self.path.glob("*.seg")):
            if _SEGMENT.fullmatch(path.name) and path.is_file():
                yield int(path.stem), path
            else:
                log.warning("no_segment_of_ours", file=str(path))

    def _take(self) -> int:
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return lock_file(self.path / "lock")
        except FileLocked as locked:
            raise SpoolBusy(
                f"{self.path}: gateway process {locked.holder} spools here; give each gateway its"
                " own folder (gateway.spool)"
            ) from None

    def take_again(self) -> None:
        """Make a folder that somebody removed; what it held is written again by the spool.

        Raises OSError or SpoolBusy, and then nothing has changed.
        """
        lock = self._take()
        os.close(self._lock)
        self._lock = lock
        self.lost.open(self.path)

    def segment(self, number: int) -> Path:
        """Return where a segment is."""
        return self.path / f"{number:012d}.seg"

    def create(self, number: int) -> int:
        """Return a descriptor that appends to a new segment, and can read it."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        file = os.open(self.segment(number), flags, 0o600)
        self.files[number], self.sizes[number] = file, 0
        return file

    def delete(self, number: int) -> None:
        """Remove a segment."""
        self.segment(number).unlink(missing_ok=True)
        os.close(self.files.pop(number))
        del self.sizes[number]

    def pending(self, admitted: Mapping[str, Entry], cursor: tuple[int, int]) -> list[Entry]:
        """Return what is after the cursor and what is admitted and has no end, in order."""
        found = []
        for segment, file in sorted(self.files.items()):
            for entry in read_segment(file, segment, 0):
                if entry.kind is Kind.ADMISSION:
                    if entry.id in admitted and admitted[entry.id].segment == segment:
                        found.append(entry)
                elif (segment, entry.end) > cursor:
                    found.append(entry)
        return found

    @property
    def cursor(self) -> tuple[int, int]:
        """Segment and offset up to which the log has everything; (0, 0) where unknown."""
        try:
            found = json.loads((self.path / "cursor.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return 0, 0
        return (
            (found.get("segment", 0), found.get("offset", 0)) if isinstance(found, dict) else (0, 0)
        )

    def note_cursor(self, place: tuple[int, int]) -> None:
        """Note up to where the log has everything; where this fails, the next life sends again.

        It is not forced to the disk, which requests would wait for: a kill leaves the old or the new
        one, and after a power cut, too, the next life only sends again.
        """
        document = {"segment": place[0], "offset": place[1]}
        aside = self.path / ".cursor.json"
        with contextlib.suppress(OSError):
            aside.write_bytes(json.dumps(document).encode())
            aside.replace(self.path / "cursor.json")

    def close(self) -> None:
        """Let another process have it."""
        for file in self.files.values():
            os.close(file)
        self.lost.close()
        os.close(self._lock)
