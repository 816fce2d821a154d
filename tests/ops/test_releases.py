"""The releases of a machine, as `ops/deploy/releases.sh` switches and takes them away.

tests/ops/test_systemd.py installs real ones and upgrades what runs.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deployed import DEPLOY


def releases(folder: Path, *action: str) -> "subprocess.CompletedProcess[str]":
    """Run the script on a folder."""
    return subprocess.run(
        ["sh", str(DEPLOY / "releases.sh"), str(folder), *action],
        capture_output=True,
        text=True,
        check=False,
    )


def environment(place: Path, version: str) -> None:
    """Make what looks like an environment with rlwd in it."""
    info = place / "lib" / "python3.11" / "site-packages" / f"rlwd-{version}.dist-info"
    info.mkdir(parents=True)
    (place / "bin").mkdir()
    (place / "bin" / "python").symlink_to(sys.executable)
    (place / "bin" / "rlwd").touch(mode=0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three releases, the second of which is current."""
    for number in (1, 2, 3):
        environment(tmp_path / "releases" / f"r{number}", f"0.{number}")
    for name in ("r1", "r2"):
        assert releases(tmp_path, "switch", name).returncode == 0
    return tmp_path


@contextmanager
def running(python: Path) -> Iterator[int]:
    """Run something from an environment."""
    process = subprocess.Popen([str(python), "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process.pid
    finally:
        process.communicate()


def pointed(folder: Path) -> tuple[str, str]:
    """What is started next, and what was before."""
    return (folder / "current").readlink().name, (folder / "previous").readlink().name


def test_there_and_back(folder: Path) -> None:
    """`back` starts the one before next, and twice is nothing; what is no release is not switched to."""
    assert pointed(folder) == ("r2", "r1")
    assert releases(folder, "back").returncode == 0
    assert pointed(folder) == ("r1", "r2")
    assert releases(folder, "back").returncode == 0
    assert pointed(folder) == ("r2", "r1")
    (folder / "releases" / "r3" / "bin" / "rlwd").unlink()
    refused = releases(folder, "switch", "r3")
    assert (refused.returncode, "is no release" in refused.stderr) == (1, True)
    assert pointed(folder) == ("r2", "r1")


def test_there_is_nothing_before_the_first(tmp_path: Path) -> None:
    """`back` says so and changes nothing."""
    environment(tmp_path / "releases" / "r1", "0.1")
    assert releases(tmp_path, "switch", "r1").returncode == 0
    refused = releases(tmp_path, "back")
    assert (refused.returncode, "no release before" in refused.stderr) == (1, True)
    assert (tmp_path / "current").readlink().name == "r1"


def test_what_nobody_needs_is_taken_away(folder: Path) -> None:
    """The current one, the one before and what a process runs stay, and are listed; others go."""
    with running(folder / "releases" / "r3" / "bin" / "python") as pid:
        assert releases(folder, "sweep").stdout == ""
        listed = releases(folder, "list").stdout
        assert "r2 (current): rlwd 0.2\n" in listed
        assert "r1 (previous): rlwd 0.1\n" in listed
        assert f"r3: rlwd 0.3\n    {pid} " in listed
    assert "releases/r3" in releases(folder, "sweep").stdout
    assert {one.name for one in (folder / "releases").iterdir()} == {"r1", "r2"}


def test_a_release_that_nobody_ran_is_not_gone_back_to(folder: Path) -> None:
    """Two upgrades that fail leave the last good one: what runs stays the one before."""
    with running(folder / "releases" / "r1" / "bin" / "python"):
        assert releases(folder, "switch", "r3").returncode == 0
        assert pointed(folder) == ("r3", "r1")
        assert "releases/r2" in releases(folder, "sweep").stdout
    with running(folder / "releases" / "r3" / "bin" / "python"):
        environment(folder / "releases" / "r4", "0.4")
        assert releases(folder, "switch", "r4").returncode == 0
        assert pointed(folder) == ("r4", "r3")


def test_what_is_started_next_is_not_abandoned(folder: Path) -> None:
    """A release that failed is taken away; the one that the link names stays, and that is said."""
    assert releases(folder, "abandon", "r2").returncode == 1
    assert releases(folder, "abandon", "r3").returncode == 0
    assert {one.name for one in (folder / "releases").iterdir()} == {"r1", "r2"}


def test_an_environment_in_the_folder_itself_is_a_release(tmp_path: Path) -> None:
    """It is started next and gone back to like any other, until it is two releases old and nobody runs it;
    only its own files go then.
    """
    environment(tmp_path, "0.0")
    (tmp_path / "pyvenv.cfg").touch()
    for _ in range(2):
        assert releases(tmp_path, "adopt").returncode == 0
        assert (tmp_path / "current" / "bin" / "rlwd").resolve() == tmp_path / "bin" / "rlwd"
    for number in (1, 2):
        environment(tmp_path / "releases" / f"r{number}", f"0.{number}")
        assert releases(tmp_path, "switch", f"r{number}").returncode == 0
        with running(tmp_path / "bin" / "python") as pid:
            assert releases(tmp_path, "sweep").stdout == ""
            assert f"rlwd 0.0\n    {pid} " in releases(tmp_path, "list").stdout
    assert pointed(tmp_path) == ("r2", "r1")
    assert "in-place" in releases(tmp_path, "sweep").stdout
    assert {one.name for one in tmp_path.iterdir()} == {"releases", "current", "previous"}
    assert {one.name for one in (tmp_path / "releases").iterdir()} == {"r1", "r2"}
    assert releases(tmp_path, "adopt").returncode == 0
    assert pointed(tmp_path) == ("r2", "r1")
