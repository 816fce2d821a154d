"""Notify: one line to the supervisor, by systemd's protocol."""

import os
import socket
from collections.abc import Sequence

import structlog

log = structlog.get_logger()

BUILDING_SECONDS = 3600

_unreachable: set[str] = set()
"""Sockets of supervisors that a warning was logged of."""


def notify(state: str, files: Sequence[int] = ()) -> bool:
    """Send one line to systemd, such as READY=1, and open files with it; False where nobody listens.

    A supervisor that cannot be reached is a warning, once: what is told to it is no reason to end.
    Source: sd_notify(3); a leading @ in NOTIFY_SOCKET is an abstract name.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            # Its queue may be full: the loop does not wait for it.
            channel.setblocking(False)
            channel.connect(address)
            if files:
                socket.send_fds(channel, [state.encode()], list(files))
            else:
                channel.sendall(state.encode())
    except OSError as problem:
        if address not in _unreachable:
            log.warning("supervisor_unreachable", socket=address, problem=str(problem))
        _unreachable.add(address)
        return False
    _unreachable.discard(address)
    return True


def notify_building() -> None:
    """Ask systemd for the time that a large state needs before the loop can say that it goes on.

    Its tables are migrated then: ended in mid-way, that would only begin again.
    """
    notify(f"EXTEND_TIMEOUT_USEC={BUILDING_SECONDS * 1_000_000}")


def notify_stopping(seconds: float) -> None:
    """Tell systemd that this process ends, and that this may take so long, whatever its unit says.

    It kills it no earlier. Source: sd_notify(3), EXTEND_TIMEOUT_USEC=.
    """
    notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")
