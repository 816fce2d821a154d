"""Flagging: the flag file is brought to say what the tables say (CONTRACTS 22).

Commit the intent under a new generation, write the file, read it back, confirm. Every step can be
repeated, by whichever process comes next: a crash in between leaves an intent, which is written
again under the next generation.
"""

from pathlib import Path

from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.store import Store
from ..flags.flag_file import FlagState, read_flags, to_document, write_flags
from .controller import RolloutController


def project(
    store: Store, controller: RolloutController, path: Path, now: float, *, always: bool = False
) -> FlagState | None:
    """Write the flag file where the tables say other than it does; return what was written.

    `always` writes it under a new generation even where it was confirmed before: the file may have
    been lost or changed since. v0 must be registered.
    """
    with store.transaction() as tx:
        if not always and controller.flag_is_current(tx):
            return None
        on_disk = read_flags(path)
        intent = controller.intend(tx, on_disk.generation if on_disk else 0, now)
    crash_here(CrashPoint.INTENDED)
    with store.transaction() as tx:
        # Inside, because a daemon's transaction holds its lease: one that lost it writes no file.
        write_flags(path, to_document(intent))
        crash_here(CrashPoint.FLAGGED)
        controller.confirm(tx, intent.generation, now)
    return intent
