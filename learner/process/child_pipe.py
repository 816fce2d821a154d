"""Child pipe: the way from the daemon to its learner's standard input."""

import fcntl
import subprocess
import sys
import termios
from typing import IO


def pipe_to(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    """Return the pipe that a process was started with."""
    assert process.stdin is not None, "learner without a pipe"
    return process.stdin


def unread(pipe: IO[bytes]) -> int:
    """Return how many bytes of it the child has not read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
