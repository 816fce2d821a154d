"""RecentLatency: how long a gateway's requests take now, for a learner that shares the machine with its engine."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

WINDOW_SECONDS = 10.0
"""Requests that ended before count no more."""
MOST_REQUESTS = 5000
"""Of those that ended, the newest are kept: so many say what their 95th percentile is to a per cent."""
SHARE = 0.95
NOT_WAITED_FOR = ("refused", "error")
"""Ends that say nothing of how long an answer takes: the engine refused it, or was not there."""


class RecentLatency:
    """Requests that ended lately and those under way. One event loop owns it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` is that of `GenerationRecord.started`."""
        self.clock = clock
        self._ended = deque[tuple[float, float]](maxlen=MOST_REQUESTS)
        self._under_way = dict[object, float]()

    @contextlib.contextmanager
    def waiting(self, started: float, finish: Callable[[], str]) -> Iterator[None]:
        """Within, a request is under way; at the end `finish` returns how it ended."""
        key = object()
        self._under_way[key] = started
        try:
            yield
        finally:
            del self._under_way[key]
            if finish() not in NOT_WAITED_FOR:
                now = self.clock()
                self._ended.append((now, now - started))

    def p95(self) -> float | None:
        """Return the 95th percentile of seconds to the last byte; None where nobody asks anything.

        A request under way that has already taken longer than that counts with what it has taken: an
        engine that hangs ends none.
        """
        now = self.clock()
        ended = sorted(seconds for at, seconds in self._ended if at > now - WINDOW_SECONDS)
        so_far = _quantile(ended) or 0.0
        late = [now - since for since in self._under_way.values() if now - since > so_far]
        return _quantile(sorted(ended + late))


def _quantile(ordered: Sequence[float]) -> float | None:
    """Return the value that a share of them is not above, by nearest rank."""
    return ordered[math.ceil(SHARE * len(ordered)) - 1] if ordered else None
