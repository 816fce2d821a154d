"""SpoolFolder: the files of one process's spool, and the lock that keeps other processes out."""

import fcntl
import json
import os
from pathlib import Path


class SpoolBusy(RuntimeError):
    """Another process writes to this folder."""


class SpoolFolder:
    """Segments, cursor and tombstones on disk. Raises SpoolBusy where another process has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        hold = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(hold, 32).decode() or "?"
            os.close(hold)
            raise SpoolBusy(
                f"{path}: gateway process {owner} spools here; give each gateway its own"
                " folder (gateway.spool)"
            ) from None
        os.ftruncate(hold, 0)
        os.pwrite(hold, str(os.getpid()).encode(), 0)
        self._hold = hold

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
        aside = self.path / f".{name}"
        aside.write_text(json.dumps(value))
        aside.replace(self.path / name)

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._hold)
