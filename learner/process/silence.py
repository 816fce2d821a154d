"""Silence: how long a learner that starts or works has said nothing. Importable without torch."""

from ..settings import LearnerSettings


class Silence:
    """Counts from the last line of one learner process that was started, or told to do something.

    The thread that reads its lines calls `heard`, the daemon's loop all else. While it has nothing to do it
    may be silent for as long as it likes; so may one whose tensors a training service has: that may let it
    wait for as long as it likes.
    """

    def __init__(self, settings: LearnerSettings) -> None:
        self.most_seconds = float("inf") if settings.service.url else settings.hang_seconds
        self._at_work = False
        self._words = self._seen = 0
        self._since = self._looked = float("-inf")

    def begin(self) -> None:
        """Count from now on: it was started, or told to do something."""
        self._at_work = True
        self._words += 1

    def heard(self, *, idle: bool) -> None:
        """Count anew: it said something; `idle` where that was that it has nothing to do."""
        self._at_work = not idle and self._at_work
        self._words += 1

    def too_long(self, now: float) -> bool:
        """Return whether it has been silent for too long; asked in every round of the loop."""
        between, words = now - self._looked, self._words
        # A loop that stood still, a machine that slept and a clock that was set say nothing of the learner.
        looked_on = 0.0 <= between <= self.most_seconds / 4
        if words != self._seen or not self._at_work or not looked_on:
            self._since = now
        self._seen, self._looked = words, now
        return now - self._since > self.most_seconds
