"""Timers: periodic work by APScheduler; a timer only enqueues an intent that the loop drains."""

import queue
from collections.abc import KeysView, Mapping
from enum import StrEnum

from apscheduler.schedulers.background import BackgroundScheduler


class Intent(StrEnum):
    """What a timer or a handler asks of the loop."""

    RECONCILE_ENGINE = "reconcile_engine"
    """See that every replica has what should be loaded."""
    FORWARD_DEAD_LETTERS = "forward_dead_letters"
    """Send dead letters to their topic."""
    CLOSE_HORIZONS = "close_horizons"
    """Give up what waited too long."""
    MIRROR = "mirror"
    """Send metrics to MLflow."""
    EXPIRE = "expire"
    """Forget the content of what is old."""
    HOLDOUT = "holdout"
    """Compare the champion with the long-term holdout."""
    TOOLS = "tools"
    """Count what tools answered, and look for what fails more than it should."""
    READ = "read"
    """Settle what readers did, and let them look again."""
    RETRAIN = "retrain"
    """Train the reader of people's messages, where it is time."""
    REFRESH = "refresh"
    """Draw the gate's benchmark anew, where it is due."""
    TRIAGE = "triage"
    """Group the problems of a week, where one is over."""
    PARENT = "parent"
    """See whether what a specialist began with was taken back."""
    MEASURE = "measure"
    """Count fates for the metrics page."""


PERIODS: Mapping[Intent, float] = {
    Intent.RECONCILE_ENGINE: 2.0,
    Intent.FORWARD_DEAD_LETTERS: 5.0,
    Intent.CLOSE_HORIZONS: 1.0,
    Intent.MIRROR: 5.0,
    Intent.EXPIRE: 60.0,
    Intent.HOLDOUT: 60.0,
    Intent.TOOLS: 10.0,
    Intent.READ: 1.0,
    Intent.RETRAIN: 60.0,
    Intent.REFRESH: 3600.0,
    Intent.TRIAGE: 10.0,
    Intent.PARENT: 5.0,
    Intent.MEASURE: 2.0,
}
"""Seconds between two of a kind."""


class Timers:
    """A scheduler in memory, rebuilt from the configuration at each start.

    One job at most waits for each intent: a loop that is behind does the work once and not for
    every period that it missed.
    """

    def __init__(self, periods: Mapping[Intent, float] = PERIODS) -> None:
        self._waiting: queue.SimpleQueue[Intent] = queue.SimpleQueue()
        self._scheduler = BackgroundScheduler(timezone="UTC")
        for intent, seconds in periods.items():
            self._scheduler.add_job(
                self.ask,
                "interval",
                seconds=seconds,
                args=(intent,),
                id=str(intent),
                replace_existing=True,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )

    def ask(self, intent: Intent) -> None:
        """Ask the loop for something; safe from any thread."""
        self._waiting.put(intent)

    def drain(self) -> KeysView[Intent]:
        """Return what was asked for since the last call, each intent once."""
        found: dict[Intent, None] = {}
        while not self._waiting.empty():
            found[self._waiting.get_nowait()] = None
        return found.keys()

    def start(self) -> None:
        """Begin to ask."""
        self._scheduler.start()

    def stop(self) -> None:
        """Ask no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
