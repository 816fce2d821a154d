"""Server process: a child that we start on a free loopback port, wait for, and stop."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx

from .server_died import ServerDied

LOOPBACK = "127.0.0.1"
TETHER = Path(__file__).with_name("tether.py")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For calls to servers of ours, which speak no TLS. Without it httpx reads every authority of the system for
each client that it makes: 54 ms of a core for one page, and 0.9 with it (a refused connection, 2026-11-27)."""
START_SECONDS = 600.0
"""Longest time for a server to be healthy. One that ends is told at once; on a busy machine one took 130 s."""

TAIL_BYTES = 1 << 16
"""Of a log, so much of its end is looked at for its last lines."""
STOP_SECONDS = 20.0
"""Longest time for a server to end that does not say how long it needs."""


def free_port() -> int:
    """Return a TCP port on loopback that nothing listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def tethered(command: Sequence[str]) -> list[str]:
    """Return a command that ends with whoever holds the pipe to its standard input (`tether.py`).

    It has to be started in a process group of its own.
    """
    return [sys.executable, "-I", "-S", str(TETHER), *command]


def answers(url: str) -> Callable[[], bool]:
    """Return a check of whether a page answers with 200."""

    def healthy() -> bool:
        try:
            # A proxy named in the environment has no business between us.
            found = httpx.get(url, timeout=2.0, verify=NO_TLS, trust_env=False)
            return found.status_code == 200
        except httpx.HTTPError:
            return False

    return healthy


class Server:
    """One child process with its log in a file.

    Started in a process group of its own, so that stopping it takes its own children along and
    nothing is ever stopped by name.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        log: Path,
        healthy: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
        stop_seconds: float = STOP_SECONDS,
        cwd: Path | None = None,
        tether: bool = False,
    ) -> None:
        """`stop_seconds` is how long it may take to end once it was asked to. With `tether` it ends
        with this process, however this one ends.
        """
        self.command = tethered(command) if tether else list(command)
        self.name, self.log, self.healthy, self.tether = name, log, healthy, tether
        self.environment = {**os.environ, **(environment or {})}
        self.start_seconds, self.stop_seconds, self.cwd = start_seconds, stop_seconds, cwd
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE if self.tether else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.cwd,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return once the server is healthy; raise ServerDied where it ends or takes too long."""
        assert self.process is not None, f"{self.name} was not started"
        deadline = time.monotonic() + self.start_seconds
        while not self.healthy():
            if self.process.poll() is not None:
                raise ServerDied(
                    f"{self.name} ended with {self.process.returncode}; the last lines of"
                    f" {self.log}:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                self.stop()
                raise ServerDied(
                    f"{self.name} was not healthy in {self.start_seconds:.0f} s; the last lines of"
                    f" {self.log}:\n{self.tail()}"
                )
            time.sleep(0.1)

    def start(self) -> None:
        """Start the process and wait until it is healthy."""
        self.spawn()
        self.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, as an out-of-memory killer would."""
        self.signal(9)
        if self.process is not None:
            self.process.wait()

    def stop(self, seconds: float | None = None) -> None:
        """Ask it to end; kill it where it has not within so many seconds, by default its `stop_seconds`."""
        self.signal(15)
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_seconds if seconds is None else seconds)
            self.kill()
            self._end_what_is_left()
            if self.process.stdin is not None:
                self.process.stdin.close()

    def _end_what_is_left(self) -> None:
        """Kill what a tether left behind that was itself killed: nobody else would, and a GPU stays taken.

        Its number is another's where a process has it again; while a group has it, none gets it.
        """
        assert self.process is not None, f"{self.name} was not started"
        if self.tether and not Path(f"/proc/{self.process.pid}").exists():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def tail(self, lines: int = 25) -> str:
        """Return the end of the log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            # A server that ran for months has written much.
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            told = log.read().decode(errors="replace")
        return "\n".join(told.splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
