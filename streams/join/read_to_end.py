"""Reading a log to its end."""

import time

from .ingest import Ingest

QUIET_POLLS = 5


def read_to_end(ingest: Ingest, *, assigned_within_seconds: float = 60.0) -> None:
    """Take in all there is now; returns once several polls in a row brought nothing.

    Raises TimeoutError where the log hands out no partition in time.
    """
    idle, deadline = 0, time.monotonic() + assigned_within_seconds
    while idle < QUIET_POLLS:
        result = ingest.step(now=0.0, timeout_seconds=0.1, limit=2000)
        progress = ingest.source.progress()
        if not progress and time.monotonic() > deadline:
            raise TimeoutError(f"no partition was assigned in {assigned_within_seconds:.0f} s")
        drained = bool(progress) and all(at.drained for at in progress.values())
        idle = idle + 1 if drained and not result.counts.delivered else 0
