"""What systemd hears of a real daemon: ready means taking in, and its socket ends nobody."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from lone_daemon import LoneDaemon, Workshop
from waiting import until

from rlwd.daemon.supervisor.notify import notify


class Supervisor:
    """A real datagram socket where systemd's would be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))
        self.lines: list[str] = []

    def hear(self) -> list[str]:
        """Take what was told since the last time; return all of it."""
        while True:
            try:
                self.lines.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.lines


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor that the daemons of this test are told of."""
    made = Supervisor(tmp_path / "notify.sock")
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    yield made
    made.socket.close()


@pytest.fixture
def workshop(tmp_path: Path, tiny_policy: Path) -> Iterator[Workshop]:
    """A state folder for daemons whose engine never answers."""
    made = Workshop(tmp_path, tiny_policy, passes=1, poll_seconds=0.05)
    yield made
    made.close()


def started(workshop: Workshop) -> LoneDaemon:
    daemon = workshop.daemon("daemon")
    daemon.environment = dict(os.environ)
    daemon.start()
    return daemon


def prolonged(line: str) -> float:
    """Return for how many seconds more systemd is asked to wait."""
    return int(line.partition("EXTEND_TIMEOUT_USEC=")[2]) / 1_000_000


def test_ready_means_taking_in(supervisor: Supervisor, workshop: Workshop) -> None:
    """With no engine and a learner that still starts, systemd hears READY; the pages say what waits.

    It is asked for time before the tables are migrated, and before the end for as long as that may take.
    """
    daemon = started(workshop)
    until(lambda: "READY=1" in supervisor.hear())
    ready = daemon.ask("readyz")
    assert ready["ready"] is False
    assert "engine" in ready["problems"]
    # What else waits, a learner that starts slowly for one, may stand before it.
    until(lambda: any(line[:7] == "STATUS=" and "engine: " in line for line in supervisor.hear()))
    daemon.stop()
    assert supervisor.hear().count("READY=1") == 1
    assert prolonged(supervisor.hear()[0]) > 600.0
    assert supervisor.hear()[-1].startswith("STOPPING=1\n")
    assert prolonged(supervisor.hear()[-1]) > workshop.config.stop_seconds


def test_a_socket_that_is_gone_ends_nobody(supervisor: Supervisor, workshop: Workshop) -> None:
    """A daemon whose supervisor went away goes on, says so once, and takes in what comes."""
    daemon = started(workshop)
    until(lambda: "WATCHDOG=1" in supervisor.hear())
    supervisor.socket.close()
    supervisor.path.unlink()
    before = daemon.ask("livez")
    until(lambda: "supervisor_unreachable" in daemon.log.read_text())
    until(lambda: daemon.ask("livez").get("last_tick_seconds") != before["last_tick_seconds"])
    assert daemon.alive
    daemon.stop()
    assert daemon.log.read_text().count("supervisor_unreachable") == 1


def test_a_full_queue_keeps_nobody_waiting(supervisor: Supervisor) -> None:
    """A supervisor that hears nothing costs the loop no time, and is no error."""
    while notify("WATCHDOG=1"):
        pass
    assert notify("WATCHDOG=1") is False
    supervisor.hear()
    assert notify("READY=1") is True
