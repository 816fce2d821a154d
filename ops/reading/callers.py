"""Callers: threads that make calls, and that nobody has to wait for."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger()


class Callers:
    """So many threads at most, started as they are needed.

    They are no executor's, whose threads the interpreter waits for at its exit: a call in progress
    keeps neither `close` nor the end of the process.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count, self.name = count, name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether no more calls are made."""
        return self._closed.is_set()

    def submit(self, call: Callable[[], None]) -> None:
        """Make a call as soon as a thread is free; from one thread."""
        if len(self._threads) < self.count:
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._calls.put(call)

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until they are closed."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """Make no more calls; what was not begun is dropped."""
        self._closed.set()
        for _ in range(self.count):
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None and not self.closed:
            try:
                call()
            except Exception:  # The top of this thread's loop; the other calls go on.
                log.exception("call_failed", thread=self.name)
