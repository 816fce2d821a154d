"""Kept sockets: a gateway is started again, and nobody is refused meanwhile."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from waiting import until

from rlwd.ops.servers.process import LOOPBACK, answers, free_port

# As systemd passes them on: descriptors from 3 on, and the process that is meant.
PASS_ON = """
place=3
for one in $GIVEN; do eval "exec $place<&$one"; place=$((place + 1)); done
LISTEN_PID=$$ exec "$@"
"""
LISTENS = """
import sys
from rlwd.daemon.supervisor.kept_sockets import listening_sockets
found = listening_sockets("127.0.0.1", int(sys.argv[1]))
print(*(one.fileno() for one in found), *(one.getsockname()[1] for one in found))
"""


class FakeSystemd:
    """Keeps sockets as systemd does, and gives them to each process that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.channel.bind(str(folder / "notify.sock"))
        self.told: list[str] = []
        self.kept: list[tuple[str, int]] = []
        self.processes: list[subprocess.Popen[str]] = []

    def hear(self) -> list[str]:
        """Take what was told, and the sockets that came with it; return all of it."""
        while True:
            try:
                line, files, _, _ = socket.recv_fds(self.channel, 4096, 16)
            except BlockingIOError:
                return self.told
            self.told.append(line.decode())
            name = line.decode().partition("FDNAME=")[2].partition("\n")[0]
            self.kept += [(name, one) for one in files]
            if line.startswith(b"FDSTOREREMOVE"):
                self.forget(name)

    def forget(self, *names: str) -> None:
        """Close what is kept under these names."""
        for _, one in [kept for kept in self.kept if kept[0] in names]:
            os.close(one)
        self.kept = [kept for kept in self.kept if kept[0] not in names]

    def start(self, arguments: Sequence[str]) -> "subprocess.Popen[str]":
        """Start Python, and give it what is kept."""
        # Above the places that they are to have, and where this process has nothing yet.
        given = [fcntl.fcntl(one, fcntl.F_DUPFD, 20) for _, one in self.kept]
        process = subprocess.Popen(
            ["bash", "-c", PASS_ON, "bash", sys.executable, *arguments],
            cwd=self.folder,
            pass_fds=given,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(self.folder / "notify.sock"),
                "GIVEN": " ".join(map(str, given)),
                "LISTEN_FDS": str(len(given)),
                "LISTEN_FDNAMES": ":".join(name for name, _ in self.kept),
            },
        )
        self.processes.append(process)
        for one in given:
            os.close(one)
        return process

    def run(self, arguments: Sequence[str]) -> list[int]:
        """Run Python to its end; return the numbers that it prints."""
        told, _ = self.start(arguments).communicate(timeout=200)
        self.hear()
        return [int(one) for one in told.split()]

    def close(self) -> None:
        """End what was started, and close all sockets."""
        for process in self.processes:
            process.kill()
            process.communicate()
        self.hear()
        self.forget(*(name for name, _ in self.kept))
        self.channel.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[FakeSystemd]:
    """A supervisor in a folder of its own."""
    made = FakeSystemd(tmp_path)
    yield made
    made.close()


def refused(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((LOOPBACK, port)) != 0


def test_a_socket_goes_from_life_to_life(systemd: FakeSystemd) -> None:
    """The first listens and has it kept, under host and port; the next gets it and keeps it once."""
    port = free_port()
    ((_, first),) = [systemd.run(["-c", LISTENS, str(port)])]
    assert first == port
    assert [name for name, _ in systemd.kept] == [f"listens-{LOOPBACK}-{port}"]
    assert not refused(port)
    assert systemd.run(["-c", LISTENS, str(port)]) == [3, port]
    assert len(systemd.told) == 1


def test_a_socket_of_another_address_is_given_up(systemd: FakeSystemd) -> None:
    """Who is to listen elsewhere does so, and nobody holds the old port any more."""
    old, new = free_port(), free_port()
    systemd.run(["-c", LISTENS, str(old)])
    assert systemd.run(["-c", LISTENS, str(new)])[1] == new
    assert [name for name, _ in systemd.kept] == [f"listens-{LOOPBACK}-{new}"]
    assert refused(old)
    assert not refused(new)


@pytest.mark.timeout(600)
def test_who_connects_between_two_gateways_is_answered_by_the_next(systemd: FakeSystemd) -> None:
    """No gateway runs: a connection is taken by the port that stayed open, and then answered."""
    port = free_port()
    (systemd.folder / "rlwd.toml").write_text(
        f'[learner]\nmodel = "base"\n[gateway]\nengines = ["http://{LOOPBACK}:{free_port()}"]\n'
    )
    gateway = ["-m", "rlwd.daemon", "gateway", "--port", str(port)]
    first = systemd.start(gateway)
    until(answers(f"http://{LOOPBACK}:{port}/livez"), 200.0, pause=0.1)
    first.terminate()
    assert first.wait(100) == 0
    ready, stopping = systemd.hear()[1:]
    assert (ready, stopping.partition("\n")[0]) == ("READY=1", "STOPPING=1")
    with socket.create_connection((LOOPBACK, port), timeout=200.0) as waits:
        waits.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        systemd.start(gateway)
        assert waits.recv(100).startswith(b"HTTP/1.1 200 ")
