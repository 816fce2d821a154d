"""Publishing flags: the flag file is brought to say what the tables say (CONTRACTS 22).

Commit the intent under a new generation, write the file, read it back, confirm. Every step can be
repeated, by whichever process comes next: a crash in between leaves an intent, which is written
again under the next generation.
"""

from pathlib import Path

from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..flags import gateways_table, intents_table
from ..flags.flag_file import generation_of, write_flags
from ..flags.flag_state import FlagState, to_document
from ..stages.settings import RolloutSettings
from .desired_state import flag_state


def publish_flags(
    store: Store,
    policy: str,
    settings: RolloutSettings,
    path: Path,
    now: float,
    *,
    always: bool = False,
) -> FlagState | None:
    """Write the flag file where the tables say other than it does; return what was written.

    `always` writes it under a new generation even where it was confirmed before: the file was lost
    or changed since. A file that is damaged is written anew. v0 must be registered.
    """
    with store.transaction() as tx:
        if not always and is_current(tx, policy, settings):
            return None
        intent = intend(tx, policy, settings, generation_of(path), now)
    crash_here(CrashPoint.INTENDED)
    with store.transaction() as tx:
        # Inside, because a daemon's transaction holds its lease: one that lost it writes no file.
        write_flags(path, to_document(intent))
        crash_here(CrashPoint.FLAGGED)
        intents_table.confirm(tx, policy, intent.generation, now)
    return intent


def is_current(tx: Transaction, policy: str, settings: RolloutSettings) -> bool:
    """Return whether the file was confirmed to say what it should."""
    newest = intents_table.newest(tx, policy)
    if newest is None or not newest[1]:
        return False
    return flag_state(tx, policy, settings, newest[0].generation) == newest[0]


def intend(
    tx: Transaction, policy: str, settings: RolloutSettings, file_generation: int, now: float
) -> FlagState:
    """Write down what the file is to say, under a generation above the file's and our own.

    Above the gateways' too: they refuse older ones, and a restored state may be behind them.
    """
    newest = intents_table.newest(tx, policy)
    known = 0 if newest is None else newest[0].generation
    highest = max(known, file_generation, gateways_table.highest(tx, policy))
    state = flag_state(tx, policy, settings, highest + 1)
    intents_table.intend(tx, state, now)
    return state
