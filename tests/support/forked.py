"""Forked: processes that are forked from one which has imported what they need.

    python forked.py SOCKET MODULE...

A process that learns imports for seconds of a core what it then uses for one. A test whose promise is about
processes, and not about how one starts, has them from here: each is one of its own, with its own status,
and may be killed. What forks them runs nothing but imports.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self

from waiting import until

from rlwd.streams.quick_imports import quick_imports

NUMBER = struct.Struct("q")
"""A process id, and then a status."""
LONGEST = 1 << 17
"""Bytes of what is asked for: environment, module and arguments."""


class Forked:
    """A process that was forked, with some of what `subprocess.Popen` has; it leads a group of its own."""

    stdin = None

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self.returncode: int | None = None
        """Its status once that is known."""
        self.pid = self._number(None)

    def _number(self, seconds: float | None) -> int:
        self._asked.settimeout(seconds)
        raw = self._asked.recv(NUMBER.size)
        assert len(raw) == NUMBER.size, "what forks has ended"
        return int(NUMBER.unpack(raw)[0])

    def wait(self, timeout: float | None = None) -> int:
        """Return its status once it has ended; TimeoutExpired where it has not by then."""
        if self.returncode is None:
            try:
                self.returncode = self._number(timeout)
            except (TimeoutError, BlockingIOError) as never:
                raise subprocess.TimeoutExpired("forked", timeout or 0.0) from never
            self._asked.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return its status; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


class ForkServer:
    """One process with these modules imported, which forks others on request."""

    def __init__(self, *modules: str) -> None:
        # Not in pytest's own folder: a socket's address has room for a hundred characters.
        self._folder = tempfile.TemporaryDirectory(prefix="rlwd-")
        self._place = Path(self._folder.name) / "forks"
        # It ends with this process, whose end of the pipe is closed then.
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._place), *modules],
            stdin=subprocess.PIPE,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def start(
        self,
        module: str,
        *arguments: str,
        files: Sequence[int],
        environment: Mapping[str, str] = os.environ,
    ) -> Forked:
        """Run a module as `python -m` does, with three open files for its standard ones."""
        until(lambda: self._place.exists() or self._process.poll() is not None, 60.0)
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(str(self._place))
        told = json.dumps([dict(environment), module, *arguments]).encode()
        assert len(told) < LONGEST, "more than is read at once"
        socket.send_fds(asked, [told], files)
        return Forked(asked)

    def run(self, module: str, *arguments: str, seconds: float) -> tuple[int, str, str]:
        """Run a module to its end; return its status and what it said on both ways."""
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            files = [one.fileno() for one in (nothing, out, err)]
            made = self.start(module, *arguments, files=files)
            try:
                status = made.wait(seconds)
            finally:
                made.kill()
                made.wait()
            for one in (out, err):
                one.seek(0)
            return status, out.read().decode(), err.read().decode()


def _serve(listening: socket.socket) -> None:
    """Fork for everybody who asks, until standard input is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Who waits for a process tells its status.
    while True:
        ready, _, _ = select.select([listening, sys.stdin.fileno()], [], [])
        if listening not in ready:
            return
        asked, _ = listening.accept()
        if not os.fork():
            listening.close()
            _start(asked)
        asked.close()


def _start(asked: socket.socket) -> NoReturn:
    """Fork once more, and tell the process's id and then its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    raw, files, _, _ = socket.recv_fds(asked, LONGEST, 3)
    environment, *told = json.loads(raw)
    if not (pid := os.fork()):
        asked.close()
        os.environ.clear()
        os.environ.update(environment)
        _become(told, files)
    with contextlib.suppress(ProcessLookupError):
        os.setpgid(pid, pid)  # As it does itself: whoever is first.
    for each in (0, *files):
        os.close(each)
    asked.sendall(NUMBER.pack(pid))
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    exited = ended.si_code == os.CLD_EXITED
    asked.sendall(NUMBER.pack(ended.si_status if exited else -ended.si_status))
    # Until who asked knows, its number is nobody else's: it may still be killed by it.
    asked.recv(1)
    os.waitpid(pid, 0)
    os._exit(0)


def _become(told: Sequence[str], files: Sequence[int]) -> NoReturn:
    """Run a module with its arguments on these files, and end as Python does."""
    os.setpgid(0, 0)
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    sys.argv = list(told)
    runpy.run_module(told[0], run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{sys.argv[1]}.new")
        door.listen()
        os.rename(f"{sys.argv[1]}.new", sys.argv[1])
        with quick_imports():
            for name in sys.argv[2:]:
                importlib.import_module(name)
        _serve(door)
