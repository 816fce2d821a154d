"""State machine: the staged release of a candidate, as a pure function of what was seen and the time.

offered -> gated -> [shadow] -> canary (step by step) -> promoted -> settled
   |         |         |          |                        |
   |         |         |          +-- harm or breakage ----+--> rolled_back   (digest quarantined)
   +- FAIL --|---------+- FAIL -------------------------------> quarantined   (never served)
   +---------+---------+----------+-- out of time -------------> superseded   (not blamed)

The shadow is optional: mirrored requests, whose answers nobody is shown.

A step up needs users whose rewards do not look worse than the control's, not only time. A promoted
version bakes: a control of equal size stays on the previous champion, and the comparison goes on.
Whoever is given up sends the learner back to the champion, blamed or not; one that was only out of
time makes way for what was made from it, where that waits.
"""

from collections.abc import Callable

import msgspec

from ..statistics.guardrail import Observation
from ..statistics.paired_look import PairedLook
from ..statistics.verdict import Verdict, VerdictKind
from .bake import look_at_bake
from .canary import look_at_canary, to_canary
from .moves import move, refuse, unless_late
from .record import Move, Rollout, Stage
from .settings import RolloutSettings
from .shadow import look_at_shadow


def begin(
    version: str, digest: str, control: str, *, now: float, settings: RolloutSettings
) -> Rollout:
    """Return a rollout at its first stage."""
    return Rollout(
        version=version,
        digest=digest,
        control=control,
        stage=Stage.OFFERED,
        entered_at=now,
        deadline=now + settings.gate_seconds,
        verdict=Verdict(outcome=VerdictKind.WAIT, reasons=("not judged yet",)),
        trail=(Move(stage=Stage.OFFERED, step=0, at=now, reason=f"against {control}"),),
    )


def gated(rollout: Rollout, verdict: Verdict, now: float, settings: RolloutSettings) -> Rollout:
    """Return the rollout after the gate spoke; only an offered one listens."""
    if rollout.stage is not Stage.OFFERED:
        return rollout
    first_step = verdict.numbers.get("gate/first_step", 1.0)
    rollout = msgspec.structs.replace(rollout, verdict=verdict, gate=verdict, first_step=first_step)
    if verdict.outcome is VerdictKind.PASS:
        reason = verdict.reason or "the gate found nothing"
        return move(rollout, Stage.GATED, now, reason, deadline=now + settings.gate_seconds)
    if verdict.outcome is VerdictKind.FAIL:
        return refuse(rollout, Stage.QUARANTINED, now, verdict.reason)
    return unless_late(rollout, now)


def advance(
    rollout: Rollout,
    seen: Observation | None,
    now: float,
    settings: RolloutSettings,
    *,
    since_promotion: Observation | None = None,
    mirrored: PairedLook | None = None,
) -> Rollout:
    """Return the rollout after one look: at most one move, none once it has ended.

    `since_promotion` is what was seen of a promoted version since it is one, `mirrored` what a
    shadow answered. Abort beats promotion, and promotion beats the deadline.
    """
    if rollout.ended:
        return rollout
    if rollout.stage is Stage.SHADOW:
        return look_at_shadow(rollout, mirrored, now, settings)
    if rollout.stage is Stage.PROMOTED:
        return look_at_bake(rollout, seen, since_promotion, now, settings)
    return _ADVANCES[rollout.stage](rollout, seen, now, settings)


def taken_back(rollout: Rollout, reason: str, now: float) -> Rollout:
    """Return the rollout as refused for cause, whatever its stage: a person says so."""
    return refuse(rollout, Stage.ROLLED_BACK, now, reason)


def superseded(rollout: Rollout, reason: str, now: float) -> Rollout:
    """Return the rollout as ended without blame, unless it has ended already."""
    return rollout if rollout.ended else move(rollout, Stage.SUPERSEDED, now, reason)


def promoted_by_hand(
    rollout: Rollout, reason: str, now: float, settings: RolloutSettings
) -> Rollout:
    """Return the rollout as promoted, whatever the evidence, which the reason then names.

    One that bakes goes on with that, and what holds it does not take it back at the end.
    """
    overruled = rollout.verdict.reason or "nothing was shown yet"
    said = f"{reason} (by hand, over: {overruled})"
    rollout = msgspec.structs.replace(
        rollout, held="", doubt="", doubted_since=0.0, overruled=rollout.held
    )
    if rollout.stage is Stage.PROMOTED:
        again = Move(stage=rollout.stage, step=rollout.step, at=now, reason=said)
        return msgspec.structs.replace(rollout, trail=(*rollout.trail, again))
    return move(rollout, Stage.PROMOTED, now, said, deadline=now + settings.bake_seconds)


def _offered(
    rollout: Rollout, _seen: Observation | None, now: float, _settings: RolloutSettings
) -> Rollout:
    return unless_late(rollout, now)


def _gated(
    rollout: Rollout, _seen: Observation | None, now: float, settings: RolloutSettings
) -> Rollout:
    if now >= rollout.deadline:
        return unless_late(rollout, now)
    if not settings.shadow.share:
        return to_canary(rollout, now, settings)
    share = (
        f"{settings.shadow.share:.1%} of the champion's requests are mirrored, and nobody sees it"
    )
    return move(rollout, Stage.SHADOW, now, share, deadline=now + settings.shadow.seconds)


_ADVANCES: dict[Stage, Callable[[Rollout, Observation | None, float, RolloutSettings], Rollout]] = {
    Stage.OFFERED: _offered,
    Stage.GATED: _gated,
    Stage.CANARY: look_at_canary,
}
