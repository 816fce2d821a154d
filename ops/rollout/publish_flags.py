"""Publishing flags: the flag file is brought to say what the tables say (CONTRACTS 22).

Commit the intent under a new generation, write the file, read it back, confirm. Every step can be
repeated, by whichever process comes next: a crash in between leaves an intent, which is written
again under the next generation.
"""

from pathlib import Path

import structlog

from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..flags import gateways_table, intents_table
from ..flags.flag_file import file_says, generation_of, write_flags
from ..flags.flag_state import FlagState, to_document
from ..stages.settings import RolloutSettings
from .desired_state import flag_state

log = structlog.get_logger()


class FlagPublisher:
    """Keeps a daemon's flag file as the tables have it. Not thread-safe: the loop's thread owns it.

    A place that takes no file is a problem and no end of the daemon: what people do is taken in
    meanwhile, and the file is tried again every `again_seconds`.
    """

    def __init__(self, store: Store, policy: str, path: Path, *, again_seconds: float) -> None:
        self.store, self.policy, self.path = store, policy, path
        self.again_seconds = again_seconds
        self.problem: str | None = None
        """Why the file does not say what the tables do; None where it does, as far as is known."""
        self._rewritten = False
        self._again_at = float("-inf")

    def rewrite(self) -> None:
        """Write the file the next time, under a generation above all that is known."""
        self._rewritten = False

    def publish(
        self, settings: RolloutSettings, shown: FlagState, confirmed: bool, now: float
    ) -> None:
        """Write the file where it does not say `shown`, or that was never confirmed.

        Raises ConnectionError or TimeoutError where the database is away.
        """
        if now < self._again_at:
            return
        try:
            self._publish(settings, shown, confirmed, now)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as problem:
            # Not the strerror alone: which of the folder and the file it is, is what helps.
            said = f"{self.path} cannot be written to: {problem}"
            if self.problem is None:
                log.error("flags_not_written", problem=said)
            self.problem, self._again_at = said, now + self.again_seconds
        else:
            self.problem = None

    def _publish(
        self, settings: RolloutSettings, shown: FlagState, confirmed: bool, now: float
    ) -> None:
        intact = file_says(self.path, shown)
        if self._rewritten and confirmed and intact:
            return
        if self._rewritten and confirmed and self.problem is None:
            log.warning("flag_file_lost_or_changed", path=str(self.path))
        always = not (self._rewritten and intact)
        state = publish_flags(self.store, self.policy, settings, self.path, now, always=always)
        self._rewritten = True
        if state is not None:
            log.info("flags_written", generation=state.generation, champion=state.champion.version)


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
