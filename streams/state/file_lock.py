"""A lock file that one process holds, and that names its holder to the others."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


class FileLocked(RuntimeError):
    """Another process holds the file; `holder` is its process id, or empty where it is not known."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path}: held by process {holder or 'unknown'}")
        self.holder = holder


def lock_file(path: Path) -> BinaryIO:
    """Lock a file for as long as the returned file stays open, and write this process's id into it.

    The lock ends with the process, however that ends. Raises FileLocked where another one has it.
    """
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().decode().strip()
        file.close()
        raise FileLocked(path, holder) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    file.flush()
    return file
