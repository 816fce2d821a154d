"""SpoolFolder: the files of one process's spool, and the lock that keeps other processes out."""

import json
import os
from pathlib import Path

from ...streams.state.durable import replace_file
from ...streams.state.file_lock import FileLocked, lock_file


class SpoolBusy(RuntimeError):
    """Another process writes to this folder."""


class SpoolFolder:
    """Segments, cursor and tombstones on disk. Raises SpoolBusy where another process has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = lock_file(path / "lock")
        except FileLocked as locked:
            raise SpoolBusy(
                f"{path}: gateway process {locked.holder} spools here; give each gateway its own"
                " folder (gateway.spool)"
            ) from None

    def segment(self, number: int) -> Path:
        """Return where a segment is."""
        return self.path / f"{number:012d}.seg"

    def sizes(self) -> dict[int, int]:
        """Return the bytes of each segment there is, oldest first."""
        return {int(p.stem): p.stat().st_size for p in sorted(self.path.glob("*.seg"))}

    def create(self, number: int) -> int:
        """Return a descriptor that appends to a new segment."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        return os.open(self.segment(number), flags, 0o600)

    def delete(self, number: int) -> None:
        """Remove a segment."""
        self.segment(number).unlink(missing_ok=True)

    @property
    def cursor(self) -> tuple[int, int]:
        """Segment and offset up to which the log has everything; (0, 0) where unknown."""
        found = self._read("cursor.json")
        return found.get("segment", 0), found.get("offset", 0)

    @cursor.setter
    def cursor(self, place: tuple[int, int]) -> None:
        self._write("cursor.json", {"segment": place[0], "offset": place[1]})

    @property
    def tombstones(self) -> dict[str, int]:
        """Records dropped, by `topic|day|variant`."""
        return self._read("tombstones.json")

    @tombstones.setter
    def tombstones(self, counts: dict[str, int]) -> None:
        self._write("tombstones.json", counts)

    def _read(self, name: str) -> dict[str, int]:
        try:
            found = json.loads((self.path / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, value: dict[str, int]) -> None:
        replace_file(self.path / name, json.dumps(value).encode())

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)
