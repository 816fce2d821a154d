"""By hand: what an operator decides of versions: rollback, promote, reject, pause, resume, pin.

Written into the tables in one transaction, so it holds whoever is killed next: the daemon, or the
one that starts after it, brings flag file, engines and learner to agree. Where no daemon lives the
flag file is written from here, because users must not wait for one. Each may be done again, and
then changes nothing.
"""

import getpass
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...ops.rollout import champions_table, rollouts_table
from ...ops.rollout.controller import RolloutController
from ...ops.rollout.publish_flags import is_current, publish_flags
from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.lease import keep_daemon_waiting, read_holder
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..config import Config
from ..store import existing_store

CHAMPION, CANDIDATE = "champion", "candidate"
FLAG_SECONDS = 15.0
"""How long a living daemon is given; it looks every tick, unless an engine keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """What an operator did."""

    version: str
    """What was taken back; its digest is never offered again."""
    champion: str
    """Who serves everybody now."""
    flagged: bool
    """Whether the flag file says so already."""
    by: str
    """Who wrote it, or is to."""


def take_back(
    config: Config, store: Store, what: str, reason: str, *, flag_seconds: float = FLAG_SECONDS
) -> RollbackReport:
    """Take back a version by name, or the `champion`, or the `candidate`.

    Raises ValueError, naming what is served and what is under way, for anything else, and where v0
    is served: there is nothing before it.
    """
    controller = RolloutController(config.policy, config.rollout)
    with store.transaction() as tx:
        keep_daemon_waiting(tx, config.policy)
        version = _named(tx, controller, what)
        if version == champions_table.champion(tx, controller.policy).version:
            controller.rollback(tx, reason, time.time())
        else:
            controller.refuse(tx, reason, time.time())
        champion = champions_table.champion(tx, controller.policy)
    crash_here(CrashPoint.TAKEN_BACK)
    flagged, by = _flag(config, store, controller, flag_seconds)
    return RollbackReport(version=version, champion=champion.version, flagged=flagged, by=by)


def run_rollback(config: Config, what: str, reason: str) -> int:
    """Take back, and say what is true now; return 1 where the flag file does not say so yet."""
    store = existing_store(config)
    done = take_back(config, store, what, reason)
    store.close()
    print(f"{done.version} is taken back and never offered again; {done.champion} is served")
    print(_flag_line(config, done.flagged, done.by))
    return 0 if done.flagged else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that an operator decides."""

    do: Callable[[RolloutController, Transaction, str, str, str, float], str]
    """What it does: controller, transaction, version, who, why, now; it returns what is true then."""


def _promote(
    controller: RolloutController, tx: Transaction, _what: str, by: str, why: str, now: float
) -> str:
    rollout = controller.promote(tx, f"{by}: {why}", now)
    return f"{rollout.version} is served to everybody: {rollout.trail[-1].reason}"


def _reject(
    controller: RolloutController, tx: Transaction, _what: str, by: str, why: str, now: float
) -> str:
    last = rollouts_table.history(tx, controller.policy, limit=1)
    if rollouts_table.current(tx, controller.policy) is None and last and last[-1].quarantine:
        return f"{last[-1].version} is rejected already: {last[-1].trail[-1].reason}"
    version = _named(tx, controller, CANDIDATE)
    if version == champions_table.champion(tx, controller.policy).version:
        raise ValueError(f"{version} is the champion: `rlwd rollback champion` takes it back")
    controller.refuse(tx, f"{by}: {why}", now)
    return f"{version} is rejected and never offered again"


def _pause(
    controller: RolloutController, tx: Transaction, _what: str, by: str, why: str, now: float
) -> str:
    held = controller.pause(tx, by, why, now)
    return f"{held.sentence}; harm still takes a version back, and `rlwd resume` ends it"


def _resume(
    controller: RolloutController, tx: Transaction, _what: str, _by: str, _why: str, now: float
) -> str:
    held = controller.resume(tx, now)
    if held is None:
        return "nothing was held"
    return f"rollouts go on by themselves; until now {held.sentence}"


def _pin(
    controller: RolloutController, tx: Transaction, what: str, by: str, why: str, now: float
) -> str:
    version = what
    if what == CHAMPION:
        version = champions_table.champion(tx, controller.policy).version
    held = controller.pin(tx, version, by, why, now)
    return f"{held.sentence}; `rlwd resume` ends it"


DECISIONS = {
    "promote": Decision(do=_promote),
    "reject": Decision(do=_reject),
    "pause": Decision(do=_pause),
    "resume": Decision(do=_resume),
    "pin": Decision(do=_pin),
}
"""By the command's name."""


def decide(
    config: Config, store: Store, name: str, what: str, by: str, why: str, flag_seconds: float
) -> tuple[str, bool, str]:
    """Decide by hand; return what is true now, whether the flag file says so, and who writes it.

    Raises ValueError where it cannot be done, and nothing has changed then.
    """
    controller = RolloutController(config.policy, config.rollout)
    with store.transaction() as tx:
        keep_daemon_waiting(tx, config.policy)
        if champions_table.find_champion(tx, config.policy) is None:
            raise ValueError(f"{name}: nothing was ever served; the daemon has not made v0 yet")
        said = DECISIONS[name].do(controller, tx, what, by, why, time.time())
    return (said, *_flag(config, store, controller, flag_seconds))


def run_decision(config: Config, name: str, what: str = "", *, by: str = "", why: str = "") -> int:
    """Decide, and print what is true now; return 1 where the flag file does not say so yet."""
    store = existing_store(config)
    who = by or f"{getpass.getuser()}@{socket.gethostname()}"
    try:
        said, flagged, writer = decide(config, store, name, what, who, why, FLAG_SECONDS)
    finally:
        store.close()
    print(said)
    print(_flag_line(config, flagged, writer))
    return 0 if flagged else 1


def _flag_line(config: Config, flagged: bool, by: str) -> str:
    if flagged:
        return f"{config.flags_path} says so, written by {by}"
    return f"{config.flags_path} does not say so yet: {by} is to write it; see its log"


def _named(tx: Transaction, controller: RolloutController, what: str) -> str:
    champion = champions_table.find_champion(tx, controller.policy)
    current = rollouts_table.current(tx, controller.policy)
    if champion is None:
        raise ValueError(f"{what}: nothing was ever served; the daemon has not made v0 yet")
    under_way = "" if current is None else current.version
    if what in (CHAMPION, champion.version):
        return champion.version
    if under_way and what in (CANDIDATE, under_way):
        return under_way
    raise ValueError(
        f"{what}: {champion.version} is served, and {under_way or 'nothing'} is under way; name one of"
        f" them, or say {CHAMPION} or {CANDIDATE}"
    )


def _flag(
    config: Config, store: Store, controller: RolloutController, seconds: float
) -> tuple[bool, str]:
    with store.reading() as view:
        holder = read_holder(view, config.policy, time.time())
    if holder is None or not holder.alive:
        publish_flags(store, config.policy, config.rollout, config.flags_path, time.time())
        return True, "this command, because no daemon lives"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with store.reading() as view:
            if is_current(view, controller.policy, controller.settings):
                return True, f"the daemon, process {holder.pid} on {holder.host}"
        time.sleep(0.1)
    return False, f"the daemon, process {holder.pid} on {holder.host},"
