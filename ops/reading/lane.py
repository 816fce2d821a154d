"""Lane: a thread that takes one turn each time it is asked to."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()

JOIN_SECONDS = 1.0
"""How long `stop` waits for a turn to end."""


class Lane:
    """One thread and its turn; being asked several times during a turn is one more turn."""

    def __init__(self, name: str, turn: Callable[[], object]) -> None:
        self.name, self._turn = name, turn
        self._asked, self._stopping = threading.Event(), False
        self._thread: threading.Thread | None = None
        self.problem: str | None = None
        """What kept the last turn from its end; None where nothing did."""

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to take turns."""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask for a turn; safe from any thread."""
        self._asked.set()

    def end(self) -> None:
        """Begin no more turns."""
        self._stopping = True
        self._asked.set()

    def join(self) -> None:
        """Wait a moment for its turn to end."""
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping:
            self._asked.wait()
            self._asked.clear()
            if self._stopping:
                return
            try:
                self._turn()
                self.problem = None
            except (ConnectionError, TimeoutError) as problem:
                # The database or the log is away: the rows wait.
                self.problem = str(problem)
            except Exception as problem:  # The top of this thread's loop; the daemon goes on.
                if not self._stopping:
                    self.problem = f"{type(problem).__name__}: {problem}"
                    log.exception("reader_failed", lane=self.name)
