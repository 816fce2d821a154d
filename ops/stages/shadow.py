"""Shadow: what one look at a candidate leads to that answers mirrored requests and nobody sees."""

import msgspec

from ..statistics.paired_look import PairedLook
from ..statistics.verdict import Verdict, VerdictKind
from .canary import to_canary
from .moves import give_up, refuse
from .record import Rollout, Stage
from .settings import RolloutSettings


def look_at_shadow(
    rollout: Rollout, seen: PairedLook | None, now: float, settings: RolloutSettings
) -> Rollout:
    """Return the rollout refused, at its first users, out of time, or where it was.

    What is shown to fail, to be cut off or to be much longer is refused before anybody met it. What
    the engines had no room for within the time goes on as `shadow.starved` says, and what is under
    way when an operator takes the stage out of the settings goes on at once.
    """
    none = Verdict(outcome=VerdictKind.NODATA, reasons=("nothing was observed",))
    verdict = none if seen is None else seen.verdict
    last = rollout.shadow if seen is None else verdict
    rollout = msgspec.structs.replace(rollout, looks=rollout.looks + 1, shadow=last)
    if verdict.outcome is VerdictKind.FAIL:
        rollout = msgspec.structs.replace(rollout, verdict=verdict)
        return refuse(rollout, Stage.QUARANTINED, now, verdict.reason)
    if not settings.shadow.share:
        return to_canary(rollout, now, settings, because="the shadow was switched off")
    pairs, users = (0, 0) if seen is None else (seen.pairs, seen.users)
    wanted, least = settings.shadow.answers, settings.guardrail.harm_users
    if pairs >= wanted and users >= least:
        shown = f"{pairs} mirrored answers to {users} users show nothing against it"
        return to_canary(rollout, now, settings, because=shown)
    lacking = f"mirrored answers: {pairs} of {wanted}, to {users} of {least} users"
    verdict = msgspec.structs.replace(verdict, reasons=(lacking,))
    rollout = msgspec.structs.replace(rollout, verdict=verdict)
    if now < rollout.deadline:
        return rollout
    starved = f"the engines had no room for more in time ({lacking})"
    if settings.shadow.starved == "canary":
        return to_canary(rollout, now, settings, because=starved)
    return give_up(rollout, Stage.SUPERSEDED, now, f"out of time as shadow: {starved}")
