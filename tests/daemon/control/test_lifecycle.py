"""Signals and the deadline of a lifecycle."""

import os
import signal
import subprocess
import sys
import time

import pytest

from rlwd.daemon.control.lifecycle import Deadline, Lifecycle


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


def test_a_closed_terminal_asks_once() -> None:
    """Its signal comes twice, from the shell and from the kernel: the process still ends in order."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)" + IMPATIENT
    done = subprocess.run(
        [sys.executable, "-c", code.replace("SIGTERM", "SIGHUP")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "still here\nnot here\n")


def test_a_deadline_is_shared_and_never_negative() -> None:
    """Time left only shrinks, down to nothing."""
    deadline = Deadline.after(5.0)
    first = deadline.left
    assert 4.0 < deadline.left <= first <= 5.0
    assert Deadline(at=time.monotonic() - 1.0).left == 0.0
