"""Signals, the deadline, and the truth told to systemd."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlwd.daemon.control.lifecycle import Deadline, Lifecycle, notify


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_only_asks_to_stop(number: signal.Signals) -> None:
    """The first signal sets a flag that the loop reads; afterwards the old handlers are back."""
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    lifecycle = Lifecycle()
    with lifecycle.signals():
        assert not lifecycle.stopping
        os.kill(os.getpid(), number)
        assert (lifecycle.stopping, lifecycle.by_signal) == (True, number)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


IMPATIENT = """
import os, signal
from rlwd.daemon.control.lifecycle import Lifecycle
with Lifecycle().signals():
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("not here")
"""


def test_a_second_signal_means_at_once() -> None:
    """Who asks twice does not wait for the order of things."""
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "still here\n")


def test_a_deadline_is_shared_and_never_negative() -> None:
    """Time left only shrinks, down to nothing."""
    deadline = Deadline.after(5.0)
    first = deadline.left
    assert 4.0 < deadline.left <= first <= 5.0
    assert Deadline(at=time.monotonic() - 1.0).left == 0.0


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
