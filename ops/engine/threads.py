"""Threads: one question at a time asked off the loop's thread, answered by a future."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


Submit = Callable[[Callable[[], Answer]], "Future[Answer]"]
"""Starts work somewhere and returns its future."""


def run_in_thread(work: "Callable[[], Answer]") -> "Future[Answer]":
    """Start work on a thread of its own; what it raises is raised again by the future.

    It is a daemon thread: work that hangs does not keep the process from ending.
    """
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as problem:  # noqa: BLE001 (raised again by whoever asks)
            future.set_exception(problem)

    threading.Thread(target=run, name="asks-an-engine", daemon=True).start()
    return future
