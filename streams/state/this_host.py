"""This host: what tells it from all others, its name alone does not.

Hosts that were cloned may all be called `localhost`, and a pod that moved to another node keeps its name.
Containers of one machine may be called alike, too, and have one kernel; but each has processes and ports to
itself.
"""

import os
import socket
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another one for each start of a kernel; the containers of a machine have one."""
NAMESPACES = Path("/proc/self/ns")
"""What this process sees of its machine. A number is given again only once nobody is left in there."""
_MACHINES_OWN = "pid:[4026531836]"
"""That of the processes of no container, on each machine (the kernel's PROC_PID_INIT_INO)."""


def host_name() -> str:
    """Return how the host is called, for people."""
    return socket.gethostname()


def boot() -> str:
    """Return what is the same for the processes of one running machine alone; empty where nothing tells."""
    try:
        return BOOT_ID.read_text().strip()[:8]
    except OSError:
        return ""


def process_space() -> str:
    """Return what is the same for the processes of one container alone, and another one after its restart.

    Empty outside of containers, and where nothing tells.
    """
    found = _namespace("pid")
    return "" if found == _MACHINES_OWN else _number(found)


def port_space() -> str:
    """Return what is the same where a port can be opened once, such as in a pod; empty as `process_space`."""
    return _number(_namespace("net")) if process_space() else ""


def _namespace(kind: str) -> str:
    try:
        return os.readlink(NAMESPACES / kind)
    except OSError:
        return ""


def _number(namespace: str) -> str:
    return namespace.partition("[")[2].rstrip("]")
