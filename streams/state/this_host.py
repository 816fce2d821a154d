"""This host: what tells it from all others, its name alone does not.

Hosts that were cloned may all be called `localhost`, and a pod that moved to another node keeps its name.
"""

import socket
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another one for each start of a kernel; the containers of a machine have one."""


def host_name() -> str:
    """Return how the host is called, for people."""
    return socket.gethostname()


def boot() -> str:
    """Return what is the same for the processes of one running machine alone; empty where nothing tells."""
    try:
        return BOOT_ID.read_text().strip()[:8]
    except OSError:
        return ""
