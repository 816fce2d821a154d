"""Count keeper: reads again what takes long to count, so that no visitor of a page waits for it."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog

from ...streams.state.store import Store
from .counted import CountedOnce

log = structlog.get_logger()

AGAIN_SECONDS = 5.0
"""Pause after the database was away."""
LONGEST_SECONDS = 60.0
"""It looks so often whether something is to be read."""


class CountKeeper:
    """A thread that counts when the pages begin, and then again while people ask.

    Consumes: what is due; waits for: its time, or a visitor who sees an old count; unblocked by: `stop`;
    produces: counts, from views that no writer waits for. Each takes a fiftieth of the time at most.
    """

    def __init__(self, store: Store, counted: Sequence[CountedOnce[Any]]) -> None:
        self.store, self.counted = store, counted
        self._wake, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="counts", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        for one in self.counted:
            one.keeper = self._wake
        self._thread.start()

    def stop(self) -> None:
        """Count no more; a count under way is not waited for."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            pause = self._turn()
            self._wake.wait(pause)
            self._wake.clear()

    def _turn(self) -> float:
        """Read what is due; return for how many seconds nothing is."""
        try:
            for one in self.counted:
                if one.due_in() <= 0.0 and not self._stopped:
                    with self.store.reading() as view:
                        one.count(view, time.time())
        except (ConnectionError, TimeoutError):
            return AGAIN_SECONDS  # Whoever asks is told.
        except Exception:
            if not self._stopped:
                log.exception("count_failed")
            return AGAIN_SECONDS
        return min(LONGEST_SECONDS, *(max(0.0, one.due_in()) for one in self.counted))
