"""Crash points: places between two durable writes where a crash test may end the process.

Each is the worst moment of its kind. With `RLWD_CRASH_AT=<name>` set, the process dies there the
first time, as if killed: no handler runs, nothing is flushed. Unset, a call costs one comparison.
"""

import os
from enum import StrEnum


class CrashPoint(StrEnum):
    """Where a process may be killed on purpose."""

    INGESTED = "ingested"
    """A poll is committed; its offsets are not shown to the log yet."""
    SEALED = "sealed"
    """A batch is sealed; the learner has not heard of it."""
    APPLIED = "applied"
    """A checkpoint is durable; the ledger does not know."""
    OFFERED = "offered"
    """A rollout is begun; nothing is loaded."""
    MOVED = "moved"
    """A rollout is in another stage or step; neither flags nor engines know."""
    INTENDED = "intended"
    """What the flags are to say is committed; the file says the old."""
    FLAGGED = "flagged"
    """The flag file says the new; that is not confirmed."""
    FORWARDED = "forwarded"
    """Dead letters are on their topic; the database does not know."""
    TAKEN_BACK = "taken_back"
    """A version is taken back in the tables; neither flags nor learner know."""
    RETURNED = "returned"
    """The learner's way back is durable; the ledger does not know."""


_WANTED = os.environ.get("RLWD_CRASH_AT", "")
if _WANTED and _WANTED not in tuple(CrashPoint):
    raise ValueError(f"RLWD_CRASH_AT: {_WANTED!r} is none of {', '.join(CrashPoint)}")


def crash_here(point: CrashPoint) -> None:
    """End the process here where `RLWD_CRASH_AT` names this point."""
    if point == _WANTED:
        os._exit(137)
