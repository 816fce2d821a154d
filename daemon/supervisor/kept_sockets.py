"""Kept sockets: a port that stays open while its process is started again.

A process has systemd keep its listening sockets (`FileDescriptorStoreMax=` of the unit), and the next
one of the same unit gets them: who connects in between waits for it, and nobody is refused. systemd
closes them once the unit is stopped or has failed for good. Source: sd_notify(3), FDSTORE=1;
sd_listen_fds(3).
"""

import os
import re
import socket
from collections.abc import MutableMapping

from .notify import notify

FIRST = 3
"""The first descriptor that systemd passes on."""
BACKLOG = 1024
"""Most connections that wait to be taken; the kernel's own bound is below it on some machines."""


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return what listens at each address of a host: kept ones, else new ones that are kept now.

    Raises OSError where an address cannot be had; OverflowError where the port is none.
    """
    name = _name(host, port)
    kept = take_sockets(name)
    if kept:
        return kept
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            made.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except (OSError, OverflowError):
        for one in made:
            one.close()
        raise
    # FDPOLL=0: systemd gives them up at no hang-up.
    notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [one.fileno() for one in made])
    return made


def take_sockets(name: str, environ: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """Return the sockets that systemd kept under a name, and have it give up all others.

    What was passed on to this process is taken once: its children and a second call get nothing.
    """
    told = {key: environ.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES")}
    if told["PID"] != str(os.getpid()):
        return []
    mine: list[socket.socket] = []
    for number, kept_as in enumerate(told["FDNAMES"].split(":")[: int(told["FDS"])], FIRST):
        os.set_inheritable(number, False)
        if kept_as == name:
            mine.append(socket.socket(fileno=number))
        else:
            os.close(number)
            notify(f"FDSTOREREMOVE=1\nFDNAME={kept_as}")
    return mine


def _name(host: str, port: int) -> str:
    """Return under which name systemd keeps what listens there: another address has another name.

    >>> _name("::1", 8080)
    'listens-__1-8080'
    """
    return f"listens-{re.sub('[^0-9A-Za-z.-]', '_', host)[:200]}-{port}"
