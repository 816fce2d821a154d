"""Start turns: one server at a time starts on a device, and people's goes before a new one."""

import contextlib
import threading
from collections import Counter
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
        self._changed = threading.Condition()
        self._holders: dict[str, Starting] = {}
        self._missed = Counter[str]()
        """How many of those that people had wait for a device."""

    @contextlib.contextmanager
    def taken(self, device: str, by: Starting, waits: Callable[[str], bool]) -> Iterator[bool]:
        """Hold the device; yields False, without it, where `waits` says so: it is asked with who holds it.

        One that is missed does not wait for one that is not, whose start may take minutes, or hang.
        """
        if not self._take(device, by, waits):
            yield False
            return
        try:
            yield True
        finally:
            with self._changed:
                del self._holders[device]
                self._changed.notify_all()

    def _take(self, device: str, by: Starting, waits: Callable[[str], bool]) -> bool:
        missed = by.missed
        with self._changed:
            self._missed[device] += missed
            try:
                while (holder := self._holder(device)) or (not missed and self._is_missed(device)):
                    if missed and holder is not None and not holder.missed:
                        holder.make_way()
                    if not waits("" if holder is None else holder.version):
                        return False
                    self._changed.wait(LOOK_SECONDS)
                self._holders[device] = by
                return True
            finally:
                self._missed[device] -= missed

    def _holder(self, device: str) -> Starting | None:
        """Return who starts on the device, or on a GPU of it."""
        return next((one for at, one in self._holders.items() if _meet(at, device)), None)

    def _is_missed(self, device: str) -> bool:
        return any(count and _meet(at, device) for at, count in self._missed.items())


def _meet(one: str, other: str) -> bool:
    """Return whether two lists of GPUs have one in common.

    >>> _meet("0,1", "1"), _meet("0,1", "2, 3"), _meet("", "")
    (True, False, True)
    """
    first, second = ({gpu.strip() for gpu in each.split(",")} for each in (one, other))
    return not first.isdisjoint(second)
