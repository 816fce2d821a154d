"""Worker: one of several processes that serve one gateway, and what they share."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..http.connections import ConnectionLimits
from ..supervisor.kept_sockets import BACKLOG
from .peers import Peers
from .shared_counts import SharedCounts


class SharedSocket(socket.socket):
    """A listening socket that several processes take connections from.

    How many may wait in it stays what it was: asyncio takes at one turn as many as it asks to have
    wait, and one worker would take what comes at once for itself.
    """

    def listen(self, backlog: int = BACKLOG, /) -> None:
        """Listen, for as many as were asked for at first."""
        super().listen(BACKLOG)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayWorker:
    """One process of a gateway, as its parent made it."""

    number: int
    """From 1 on."""
    sockets: Sequence[socket.socket]
    """What all of them listen at; the parent has them too, so the port outlives a worker."""
    peers: Peers
    """How it asks the others, and answers them."""
    counts: SharedCounts
    """What they count together."""
    keep_key: bytes
    """Signs what a client returns to keep its version, whichever worker it comes to."""
    left: Sequence[Path]
    """Spools of workers that are no more, which this one sends to the log."""
    parent: int
    """A descriptor that can be read once the parent is gone."""


class WorkerConnections(ConnectionLimits):
    """A worker's connections; how many there may be is a number of all workers together."""

    def __init__(self, most: int, header_seconds: float, worker: GatewayWorker) -> None:
        super().__init__(most, header_seconds)
        self.worker = worker

    def take(self) -> bool:
        """Count one more; False where all workers together have as many as may be."""
        if not self.worker.counts.connect(self.worker.number, self.most):
            return False
        self.connected += 1
        return True

    def give_back(self) -> None:
        """Count one less."""
        self.connected -= 1
        self.worker.counts.disconnect(self.worker.number)
