"""Other ranks: the processes beside rank 0, which it starts and which end with it; importable without torch.

Not through torchrun: its agent would stand between daemon and learner. A rank's exit status, which says
what an operator is to do, becomes the agent's own; an agent that is killed leaves ranks behind that hold
the folder; and one that is not must notice a death by polling. Here rank 0 is the learner that the daemon
knows. The others' standard input is a pipe that rank 0 alone holds open: its commands come through it,
and when rank 0 ends, however it ends, the pipe does.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from ..settings import LearnerSettings

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1


def threads_of_each(settings: LearnerSettings) -> int:
    """Return how many CPU threads each process takes; 0 leaves it to torch."""
    if settings.threads or settings.processes == 1:
        return settings.threads
    return max(1, cores() // settings.processes)


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends.

    The pipe says so too, but one that is stopped, or hangs in a driver, reads none; it would keep its memory,
    and rank 0 the checkpoint folder from the learner of the next daemon. Only Linux can.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class OtherRanks:
    """Ranks 1 and up, as children of this process; without any it does nothing."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        """Start `count` of them; each gets `--rank` and `--port` of where rank 0 waits for it."""
        self.listening = socket.socket() if count else None
        """Where they meet, bound before any of them starts."""
        self.port = 0
        self.processes = list[subprocess.Popen[bytes]]()
        if self.listening is None:
            return
        self.listening.bind((HOST, 0))
        self.listening.listen(count)
        self.port = int(self.listening.getsockname()[1])
        for rank in range(1, count + 1):
            place = ["--rank", str(rank), "--port", str(self.port)]
            self.processes.append(
                subprocess.Popen([*command, *place], stdin=subprocess.PIPE, stdout=sys.stderr)
            )

    def relay(self, line: bytes) -> None:
        """Give all of them a line of the daemon's; of one that died `watch` will say so."""
        for process in self.processes:
            assert process.stdin is not None, "started with a pipe"
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(line)
                process.stdin.flush()

    def watch(self, ended: Callable[[int, int], None]) -> None:
        """Call `ended(rank, status)` when one of them has ended, on a thread for each."""

        def wait(rank: int, process: "subprocess.Popen[bytes]") -> None:
            ended(rank, process.wait())

        for rank, process in enumerate(self.processes, 1):
            threading.Thread(target=wait, args=(rank, process), daemon=True).start()
