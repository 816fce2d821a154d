"""Decisions by hand: what an operator decides of versions: rollback, promote, reject, pause, resume, pin.

Written into the tables in one transaction, so it holds whoever is killed next: the daemon, or the
one that starts after it, brings flag file, engines and learner to agree. Where no daemon lives the
flag file is written from here, because users must not wait for one. Each may be done again, and
then changes nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...ops.rollout import champions_table, rollouts_table
from ...ops.rollout.controller import RolloutController
from ...ops.stages.record import Rollout
from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.lease import keep_daemon_waiting
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..config import Config
from .flag_wait import FLAG_SECONDS, wait_for_flags

CHAMPION, CANDIDATE = "champion", "candidate"
AGAIN_SECONDS = 600.0
"""So long after a champion was taken back, `champion` means that one: the next must be named."""


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
    earlier: str = ""
    """Empty; or why it had been taken back before, so that nothing was changed now."""

    @property
    def sentence(self) -> str:
        """What is true now."""
        if not self.earlier:
            return (
                f"{self.version} is taken back and never offered again; {self.champion} is served"
            )
        return (
            f"{self.version} was taken back already ({self.earlier}); {self.champion} is served:"
            " name it to take it back too"
        )


def take_back(
    config: Config, store: Store, what: str, reason: str, *, flag_seconds: float = FLAG_SECONDS
) -> RollbackReport:
    """Take back a version by name, or the `champion`, or the `candidate`.

    Done again it changes nothing: neither where that version was taken back already, nor where the
    `champion` serves, or the `candidate` is under way, because the one before it was taken back in the
    last ten minutes: two people are paged, and both type the same. Raises ValueError, naming what is served and what is under way, for
    anything else, and where v0 is served: there is nothing before it.
    """
    controller, earlier = RolloutController(config.policy, config.rollout), ""
    with store.transaction() as tx:
        keep_daemon_waiting(tx, config.policy)
        gone = _gone(tx, controller.policy, what, time.time())
        version = _named(tx, controller, what) if gone is None else gone.version
        if gone is not None:
            earlier = gone.trail[-1].reason
        elif version == champions_table.champion(tx, controller.policy).version:
            controller.rollback(tx, reason, time.time())
        else:
            controller.refuse(tx, reason, time.time())
        champion = champions_table.champion(tx, controller.policy)
    crash_here(CrashPoint.TAKEN_BACK)
    flagged, by = wait_for_flags(config, store, controller, flag_seconds)
    return RollbackReport(
        version=version, champion=champion.version, flagged=flagged, by=by, earlier=earlier
    )


def _gone(tx: Transaction, policy: str, what: str, now: float) -> Rollout | None:
    """Return the rollout of what is meant, where it was refused for cause already."""
    name = what
    if what == CANDIDATE:
        return _refused_lately(tx, policy, now)
    if what == CHAMPION:
        last = champions_table.history(tx, policy, limit=2)
        if len(last) < 2 or now - last[0][1] > AGAIN_SECONDS:
            return None
        name = last[1][0]
    rollout = rollouts_table.find(tx, policy, name)
    return rollout if rollout is not None and rollout.ended and rollout.quarantine else None


def _refused_lately(tx: Transaction, policy: str, now: float) -> Rollout | None:
    """Return the candidate before the one under way, where it was refused within the last minutes.

    Whoever decides without a name saw that one, or the one that came since: nobody here can tell.
    """
    last = rollouts_table.history(tx, policy, limit=2)
    if not last or not last[-1].ended:
        last = last[:-1]
    if not last or not (last[-1].ended and last[-1].quarantine):
        return None
    return last[-1] if now - last[-1].trail[-1].at <= AGAIN_SECONDS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that an operator decides."""

    do: Callable[[RolloutController, Transaction, str, str, str, float], str]
    """What it does: controller, transaction, version, who, why, now; it returns what is true then."""


def _promote(
    controller: RolloutController, tx: Transaction, what: str, by: str, why: str, now: float
) -> str:
    _check_under_way(tx, controller, what)
    rollout = controller.promote(tx, f"{by}: {why}", now)
    return f"{rollout.version} is served to everybody: {rollout.trail[-1].reason}"


def _reject(
    controller: RolloutController, tx: Transaction, what: str, by: str, why: str, now: float
) -> str:
    _check_under_way(tx, controller, what)
    last = rollouts_table.history(tx, controller.policy, limit=1)
    current = rollouts_table.current(tx, controller.policy)
    gone = None if what or current is None else _refused_lately(tx, controller.policy, now)
    if gone is not None and current is not None:
        return (
            f"nothing is rejected: {gone.version} was a moment ago ({gone.trail[-1].reason}), and"
            f" {current.version} is under way now: name it to reject it too"
        )
    if current is None and last and last[-1].quarantine and what in ("", last[-1].version):
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
    return (said, *wait_for_flags(config, store, controller, flag_seconds))


def _check_under_way(tx: Transaction, controller: RolloutController, what: str) -> None:
    """Raise ValueError where a version is named that is not under way: a page may be old."""
    current = rollouts_table.current(tx, controller.policy)
    if what and current is not None and current.version != what:
        raise ValueError(f"{what}: is not under way any more; {current.version} is")


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
