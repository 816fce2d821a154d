"""Small disk: one of a test's own, so that it can be full."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk of that size at a folder in the block, where one can be mounted."""
    size = f"size={megabytes}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "rlwd-tests", str(folder)],
        capture_output=True,
        check=False,
    ).returncode
    try:
        yield
    finally:
        if mounted == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(ballast: Path, left: int = 0) -> None:
    """Let a file take all of its disk's room but so many bytes."""
    room = os.statvfs(ballast.parent)
    with contextlib.suppress(OSError), ballast.open("ab") as file:
        file.write(b"x" * max(0, room.f_bavail * room.f_frsize - left))
