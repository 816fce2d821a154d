"""ClosingTerminal: a terminal that shows what its processes say, until somebody closes it."""

import os
import pty
import select
import subprocess
import sys
import threading
from pathlib import Path

LEADS = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Where the tests run under nohup.
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class ClosingTerminal:
    """Begins one command in its foreground, of which the kernel tells it when the terminal closes."""

    def __init__(self) -> None:
        self._shown = b""
        self._master, self._slave = pty.openpty()
        self._closes = threading.Event()
        self._reader = threading.Thread(target=self._show)
        self._reader.start()

    def run(self, arguments: list[str], folder: Path) -> "subprocess.Popen[bytes]":
        """Start Python with these arguments, as who opened the terminal."""
        process = subprocess.Popen(
            [sys.executable, "-c", LEADS, *arguments],
            cwd=folder,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
        )
        os.close(self._slave)
        return process

    @property
    def shown(self) -> str:
        """What was said so far."""
        return self._shown.decode(errors="replace")

    def _show(self) -> None:
        while not self._closes.is_set():
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self._shown += os.read(self._master, 1 << 16)
                except OSError:
                    return  # Nobody has it open any more.

    def close(self) -> None:
        """Hang up; whatever is said from now on fails. A second time changes nothing."""
        if not self._closes.is_set():
            self._closes.set()
            self._reader.join()
            os.close(self._master)
