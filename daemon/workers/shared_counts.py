"""SharedCounts: what the workers of one gateway count together, in memory that they share."""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..callers.allowance import Allowance, Allowances

_WORKER = struct.Struct("<qqq")
"""Connections that are open; 1 where it serves; times that it was started."""
_TURN = struct.Struct("<d")
"""Monotonic time at which its loop last turned."""
_CLIENT = struct.Struct("<ddqqq")
"""The fields of `Allowance`, in their order."""


class SharedCounts:
    """Numbers of all workers, made by their parent before it forks them.

    One worker at a time changes what several change, under a lock that the kernel takes back from who
    is killed. Raises OSError where a folder takes no file for it.
    """

    def __init__(self, workers: int, clients: Iterable[str], folder: Path) -> None:
        self.workers = workers
        self._lock, path = tempfile.mkstemp(dir=folder)
        os.unlink(path)
        begin = workers * _WORKER.size
        self._clients = {
            name: begin + place * _CLIENT.size for place, name in enumerate(sorted(clients))
        }
        self._turns = begin + len(self._clients) * _CLIENT.size
        self._memory = mmap.mmap(-1, self._turns + workers * _TURN.size)
        for offset in self._clients.values():
            self._store(offset, Allowance())

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock. It is the process's, so one thread of a worker may take it."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def begin(self, worker: int) -> None:
        """Note, in the parent, that a worker, from 1 on, is started: it has no connections yet."""
        self._put(worker, 0, 0, self.starts(worker) + 1)

    def end(self, worker: int) -> None:
        """Note, in the parent, that a worker is gone, and its connections with it."""
        self._put(worker, 0, 0, self.starts(worker))

    def note_serving(self, worker: int) -> None:
        """Note that a worker takes requests."""
        connected, _, starts = self._worker(worker)
        self._put(worker, connected, 1, starts)

    def connect(self, worker: int, most: int) -> bool:
        """Count one more connection; False, and nothing is counted, where all have `most`."""
        with self.alone():
            open_now = sum(self._worker(one)[0] for one in range(1, self.workers + 1))
            if open_now >= most:
                return False
            connected, serving, starts = self._worker(worker)
            self._put(worker, connected + 1, serving, starts)
        return True

    def disconnect(self, worker: int) -> None:
        """Count one connection less."""
        with self.alone():
            connected, serving, starts = self._worker(worker)
            self._put(worker, connected - 1, serving, starts)

    def serving(self, worker: int) -> bool:
        """Return whether a worker takes requests, as far as is known."""
        return bool(self._worker(worker)[1])

    def starts(self, worker: int) -> int:
        """Return how often a worker was started."""
        return self._worker(worker)[2]

    def note_turn(self, worker: int) -> None:
        """Note that a worker's loop turns."""
        _TURN.pack_into(self._memory, self._turns + (worker - 1) * _TURN.size, time.monotonic())

    def turned_at(self, worker: int) -> float:
        """Return when a worker's loop last turned, as far as it said; monotonic."""
        at: float = _TURN.unpack_from(self._memory, self._turns + (worker - 1) * _TURN.size)[0]
        return at

    def allowance(self, client: str) -> Allowance:
        """Return what a client has used; hold the lock until what changes of it is stored."""
        tokens, refilled, day, requests, feedback = _CLIENT.unpack_from(
            self._memory, self._clients[client]
        )
        return Allowance(
            tokens=tokens, refilled=refilled, day=day, requests=requests, feedback=feedback
        )

    def store(self, client: str, used: Allowance) -> None:
        """Keep what a client has used."""
        self._store(self._clients[client], used)

    def _store(self, offset: int, used: Allowance) -> None:
        fields = used.tokens, used.refilled, used.day, used.requests, used.feedback
        _CLIENT.pack_into(self._memory, offset, *fields)

    def _worker(self, worker: int) -> tuple[int, int, int]:
        connected, serving, starts = _WORKER.unpack_from(self._memory, (worker - 1) * _WORKER.size)
        return connected, serving, starts

    def _put(self, worker: int, connected: int, serving: int, starts: int) -> None:
        _WORKER.pack_into(self._memory, (worker - 1) * _WORKER.size, connected, serving, starts)


class SharedAllowances(Allowances):
    """The allowances of all clients, counted by all workers together."""

    def __init__(self, counts: SharedCounts) -> None:
        super().__init__()
        self.counts = counts

    @contextlib.contextmanager
    def _one(self, name: str) -> Iterator[Allowance]:
        with self.counts.alone():
            allowance = self.counts.allowance(name)
            try:
                yield allowance
            finally:
                self.counts.store(name, allowance)
