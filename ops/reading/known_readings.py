"""KnownReadings: what a judge said of the newest texts, by digest; the same text is asked once."""

import threading
from collections import OrderedDict

from ...rewards.satisfaction.reading import Reading


class KnownReadings:
    """The newest so many; safe from any thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held, self._lock = OrderedDict[str, Reading](), threading.Lock()

    def find(self, key: str) -> Reading | None:
        """Return what was said; None where it is not known, or no more."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def keep(self, key: str, reading: Reading) -> None:
        """Keep what was said, and let go what was not asked for longest."""
        with self._lock:
            self._held[key] = reading
            while len(self._held) > self.most:
                self._held.popitem(last=False)
