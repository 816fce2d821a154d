"""A tethered command does not outlive who started it, nor its children a fault of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lone_daemon import lives
from waiting import until

from rlwd.ops.servers.process import Server, tethered

FAMILY = ["sh", "-c", "sleep 1000 & echo $! > child; echo $$ > parent; wait"]
"""A command with a child, both named by files."""


def pids(folder: Path) -> tuple[int, int]:
    """Return the process ids of command and child, once both are told."""
    told = [folder / "parent", folder / "child"]
    until(lambda: all(path.exists() and path.read_text().strip() for path in told), 30.0)
    return int(told[0].read_text()), int(told[1].read_text())


def test_it_ends_with_its_starter(tmp_path: Path) -> None:
    """A starter that is killed by SIGKILL leaves neither the command nor its child behind."""
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen({tethered(FAMILY)!r}, stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(1000)"
    )
    starter = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], cwd=tmp_path)
    command, child = pids(tmp_path)
    assert lives(command)
    assert lives(child)
    starter.kill()
    starter.wait()
    until(lambda: not lives(command) and not lives(child), 30.0)


def test_a_fault_leaves_no_child(tmp_path: Path) -> None:
    """A command that is killed takes its child along, and says how it ended; one that ends well is as it was."""
    with (tmp_path / "log").open("wb") as log:
        held = subprocess.Popen(
            tethered(FAMILY),
            stdin=subprocess.PIPE,
            stderr=log,
            cwd=tmp_path,
            start_new_session=True,
        )
    command, child = pids(tmp_path)
    os.kill(command, signal.SIGKILL)
    assert held.wait(30) == -signal.SIGKILL
    assert (tmp_path / "log").read_text() == "ended with status -9\n"
    until(lambda: not lives(child), 30.0)
    well = subprocess.Popen(tethered(["true"]), stdin=subprocess.PIPE, start_new_session=True)
    assert well.wait(30) == 0
    for each in (held, well):
        assert each.stdin is not None
        each.stdin.close()


def test_what_a_killed_tether_leaves_ends_with_its_server(tmp_path: Path) -> None:
    """Whoever started it sees that it is gone, and stops it before the next one: nothing of it lives on."""
    server = Server(
        FAMILY, name="a family", log=tmp_path / "log", healthy=bool, cwd=tmp_path, tether=True
    )
    server.spawn()
    assert server.process is not None
    command, child = pids(tmp_path)
    os.kill(server.process.pid, signal.SIGKILL)
    until(lambda: not server.alive, 30.0)
    assert lives(command)
    server.stop()
    until(lambda: not lives(command) and not lives(child), 30.0)
