"""BenchmarkRefresh: draws the gate's benchmark anew once it is due, by its own command in a process of its own.

Drawing reads all that was trained on, which a loop that takes in events has no time for.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger()

NICE = "import os; os.nice(10); from rlwd.daemon.cli import main; main()"
"""What its process runs: drawing has no haste."""
STOP_SECONDS = 5.0


class BenchmarkRefresh:
    """Starts `rlwd benchmark build --if-due` when it is asked to, one at a time."""

    def __init__(self, config: Path | None) -> None:
        """`config` is the file that the command reads; None draws nothing."""
        self.config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def look(self) -> None:
        """Say what became of the last one, and start another unless it still goes on."""
        if self.running or self.config is None:
            return
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  read once the process has ended
        command = ["benchmark", "build", "--if-due", "--config", str(self.config)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", NICE, *command],
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
        # Of a benchmark that is not due there is nothing to say each hour.
        if status:
            log.warning("benchmark_not_drawn", status=status, problem=told)
        elif "is not due" not in told:
            log.info("benchmark_drawn", why=told)
        return False

    def stop(self) -> None:
        """End what goes on; nothing is half drawn by that."""
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
