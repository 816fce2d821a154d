"""Start turns: one server at a time starts on a device, and people's goes before a new one."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

LOOK_SECONDS = 0.1
"""Between two looks of who waits at whether it still wants to."""


class Starting(Protocol):
    """A server that is being started."""

    @property
    def version(self) -> str:
        """Name of its version."""
        ...

    @property
    def missed(self) -> bool:
        """Whether people were answered by it before."""
        ...

    def make_way(self) -> None:
        """Give the start up for now: one that is missed waits for the device."""
        ...


class StartTurns:
    """Who starts on each device. Several that start at once misread how much memory is free."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._holders: dict[str, Starting] = {}

    @contextlib.contextmanager
    def taken(self, device: str, by: Starting, waits: Callable[[str], bool]) -> Iterator[bool]:
        """Hold the device; yields False, without it, where `waits` says so: it is asked with who holds it.

        One that is missed does not wait for one that is not, whose start may take minutes, or hang.
        """
        lock = self._locks.setdefault(device, threading.Lock())
        while not lock.acquire(timeout=LOOK_SECONDS):
            holder = self._holders.get(device)
            if by.missed and holder is not None and not holder.missed:
                holder.make_way()
            if not waits("" if holder is None else holder.version):
                yield False
                return
        self._holders[device] = by
        try:
            yield True
        finally:
            del self._holders[device]
            lock.release()
