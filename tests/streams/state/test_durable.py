"""Durable files: the old content or the new, never a part, and a lock that names its holder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlwd.streams.state.durable import replace_file
from rlwd.streams.state.file_lock import lock_file


def test_a_replaced_file_has_the_new_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    """Writing again replaces the content, and only the file itself is left in the folder."""
    path = tmp_path / "state.json"
    replace_file(path, b"one")
    replace_file(path, b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_put_in_place_leaves_the_old(tmp_path: Path) -> None:
    """Where the name is a folder's, the error is raised, and nothing is left beside it."""
    path = tmp_path / "taken"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        replace_file(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_locked_file_names_the_process_that_holds_it(tmp_path: Path) -> None:
    """A second process is refused with the first one's id; once that lets go it gets the lock."""
    path = tmp_path / "lock"
    held = lock_file(path)
    script = (
        "import sys, pathlib\n"
        "from rlwd.streams.state.file_lock import FileLocked, lock_file\n"
        "try:\n    lock_file(pathlib.Path(sys.argv[1]))\n"
        "except FileLocked as locked:\n    print(locked.holder)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    assert subprocess.check_output(command, text=True).strip() == str(os.getpid())
    os.close(held)
    assert subprocess.check_output(command, text=True) == ""
    os.close(lock_file(path))
