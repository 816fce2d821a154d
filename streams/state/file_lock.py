"""A lock file that one process holds, and that names its holder to the others."""

import fcntl
import os
from pathlib import Path


class FileLocked(RuntimeError):
    """Another process holds the file; `holder` is its process id, or empty where it is not known."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path}: held by process {holder or 'unknown'}")
        self.holder = holder


def lock_file(path: Path) -> int:
    """Lock a file for as long as the returned descriptor stays open; write this process's id there.

    The lock ends with the process, however that ends. Raises FileLocked where another one has it.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(held, 32).decode().strip()
        os.close(held)
        raise FileLocked(path, holder) from None
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held
