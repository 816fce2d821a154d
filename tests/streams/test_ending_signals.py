"""Ending signals: a terminal that closes ends a process in order, but for one under nohup."""

import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal, sys
from rlwd.streams.ending_signals import ending_signals, unwinding
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
print(*(one.name for one in ending_signals()), flush=True)
with unwinding():
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        print("goes on", flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        print("put away", flush=True)
"""


@pytest.mark.parametrize(
    ("before", "said", "status"),
    [
        ("SIG_DFL", "SIGTERM SIGINT SIGHUP\nput away\n", 128 + signal.SIGHUP),
        ("SIG_IGN", "SIGTERM SIGINT\ngoes on\nput away\n", 0),
    ],
)
def test_a_terminal_that_closes_ends_in_order(before: str, said: str, status: int) -> None:
    """What was begun is put away, though the signal comes twice; where it is ignored it stays so."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, before], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (said, status)
