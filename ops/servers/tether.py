"""Tether: runs a command that does not outlive who started it, however that one ended.

It stands between the two: its standard input is a pipe of the starter's, which the kernel closes when the
starter is gone, by SIGKILL too. Then it kills the command and all that this has started, and so it does
where the command ends by a fault and leaves children behind. Run by its path and without site packages:
8 MB, 15 ms.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence


def hold(command: Sequence[str]) -> int:
    """Run a command until it ends or nobody holds the pipe; return 0 where it ended with that.

    Otherwise it kills its process group, and itself with it. Whoever starts it gives it a group of its own.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # The whole group gets them: the command ends, and its end is what is waited for here.
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ended = os.pidfd_open(process.pid)
    ready, _, _ = select.select([ended, sys.stdin], [], [])
    if ended in ready:
        if (status := process.wait()) == 0:
            return 0
        print(f"ended with status {status}", file=sys.stderr, flush=True)
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("not reached")


if __name__ == "__main__":
    sys.exit(hold(sys.argv[1:]))
