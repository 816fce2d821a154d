"""What `notify` tells systemd."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlwd.daemon.supervisor.notify import notify


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A real datagram socket where systemd's would be."""
    path = tmp_path / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield channel


def test_the_supervisor_hears_each_state(supervisor: socket.socket) -> None:
    """Every state is one datagram."""
    assert notify("READY=1")
    assert notify("STOPPING=1")
    assert [supervisor.recv(100), supervisor.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_an_abstract_socket_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading @ stands for the NUL of an abstract name."""
    name = f"rlwd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{name}")
        channel.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("WATCHDOG=1")
        assert channel.recv(100) == b"WATCHDOG=1"


def test_without_a_supervisor_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by hand it says nothing, and that is no error."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify("READY=1") is False
