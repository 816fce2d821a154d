"""OwnCommand: runs one of our commands in a process of its own, which a loop that takes in events has no time for.

So the gate's benchmark is drawn anew, and the problems of a week are grouped: both read all that was answered.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger()

NICE = "import os; os.nice(10); from rlwd.daemon.cli import main; main()"
"""What its process runs: it has no haste."""
STOP_SECONDS = 5.0


class OwnCommand:
    """Starts a command when it is asked to, one at a time."""

    def __init__(self, config: Path | None, *command: str, done: str, failed: str) -> None:
        """`config` is the file that the command reads; None runs nothing.

        `done` and `failed` are the messages of the log that say how it ended. A command that says of
        itself that it is not due is not told.
        """
        self.config, self.command, self.done, self.failed = config, command, done, failed
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self.status = 0
        """With which the last one ended; 0 before one did."""

    def look(self) -> None:
        """Say what became of the last one, and start another unless it still goes on."""
        if self.running or self.config is None:
            return
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  read once the process has ended
        self._process = subprocess.Popen(
            [sys.executable, "-c", NICE, *self.command, "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    @property
    def running(self) -> bool:
        """Whether one goes on; how one has ended is said once, here."""
        process, said = self._process, self._said
        if process is None or said is None:
            return False
        if (status := process.poll()) is None:
            return True
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
        said.close()
        self._process, self._said = None, None
        told = " ".join(" ".join(lines).split())[-1000:]
        # Of what is not due there is nothing to say each hour.
        self.status = status
        if status:
            log.warning(self.failed, status=status, problem=told)
        elif "is not due" not in told:
            log.info(self.done, why=told)
        return False

    def stop(self) -> None:
        """End what goes on; nothing is half done by that."""
        if self._process is None or self._said is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        self._process, self._said = None, None
