"""State machine: the staged release of a candidate, as a pure function of what was seen and the time.

offered -> gated -> canary (step by step) -> promoted -> settled
   |         |         |                        |
   |         |         +-- harm or breakage ----+--> rolled_back   (digest quarantined)
   +-- gate says FAIL ------------------------------> quarantined  (never served)
   +---------+---------+-- out of time -------------> superseded   (not blamed)

A step up needs users whose rewards do not look worse than the control's, not only time. A promoted
version bakes: a control of equal size stays on the previous champion, and the comparison goes on.
Whoever is given up sends the learner back to the champion, blamed or not.
"""

from collections.abc import Callable

import msgspec

from ..statistics.guardrail import Observation, guard, split_e_value
from ..statistics.verdict import Verdict, VerdictKind
from .record import Move, Rollout, Stage
from .settings import RolloutSettings
from .step_evidence import held_back, lacks_evidence, shown_goals


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
    rollout = msgspec.structs.replace(rollout, verdict=verdict, first_step=first_step)
    if verdict.outcome is VerdictKind.PASS:
        reason = verdict.reason or "the gate found nothing"
        return _move(rollout, Stage.GATED, now, reason, deadline=now + settings.gate_seconds)
    if verdict.outcome is VerdictKind.FAIL:
        return _refuse(rollout, Stage.QUARANTINED, now, verdict.reason)
    return _unless_late(rollout, now)


def advance(
    rollout: Rollout,
    seen: Observation | None,
    now: float,
    settings: RolloutSettings,
    *,
    since_promotion: Observation | None = None,
) -> Rollout:
    """Return the rollout after one look: at most one move, none once it has ended.

    `since_promotion` is what was seen of a promoted version since it is one. Abort beats promotion,
    and promotion beats the deadline.
    """
    if rollout.ended:
        return rollout
    if rollout.stage is Stage.PROMOTED:
        return _promoted(rollout, seen, since_promotion, now, settings)
    return _ADVANCES[rollout.stage](rollout, seen, now, settings)


def taken_back(rollout: Rollout, reason: str, now: float) -> Rollout:
    """Return the rollout as refused for cause, whatever its stage: a person says so."""
    return _refuse(rollout, Stage.ROLLED_BACK, now, reason)


def superseded(rollout: Rollout, reason: str, now: float) -> Rollout:
    """Return the rollout as ended without blame, unless it has ended already."""
    return rollout if rollout.ended else _move(rollout, Stage.SUPERSEDED, now, reason)


def promoted_by_hand(
    rollout: Rollout, reason: str, now: float, settings: RolloutSettings
) -> Rollout:
    """Return the rollout as promoted, whatever the evidence, which the reason then names."""
    overruled = rollout.verdict.reason or "nothing was shown yet"
    said = f"{reason} (by hand, over: {overruled})"
    return _move(rollout, Stage.PROMOTED, now, said, deadline=now + settings.bake_seconds)


def _offered(
    rollout: Rollout, _seen: Observation | None, now: float, _settings: RolloutSettings
) -> Rollout:
    return _unless_late(rollout, now)


def _gated(
    rollout: Rollout, _seen: Observation | None, now: float, settings: RolloutSettings
) -> Rollout:
    if now >= rollout.deadline:
        return _unless_late(rollout, now)
    deadline = now + settings.deadline_seconds
    reason = _share(settings, 0, part=rollout.first_step)
    return _move(rollout, Stage.CANARY, now, reason, deadline=deadline)


def _canary(
    rollout: Rollout, seen: Observation | None, now: float, settings: RolloutSettings
) -> Rollout:
    verdict = guard(seen, settings.guardrail, planned_users=settings.planned_users)
    broken = seen is not None and split_e_value(seen) >= 1 / settings.guardrail.srm_alpha
    broken = broken or rollout.split_broken
    rollout = msgspec.structs.replace(
        rollout, verdict=verdict, looks=rollout.looks + 1, split_broken=broken
    )
    if verdict.outcome is VerdictKind.FAIL:
        return _refuse(rollout, Stage.ROLLED_BACK, now, verdict.reason)
    if broken:
        return _on_broken_split(rollout, now, settings)
    rollout = held_back(rollout, seen)
    if rollout.held:
        return _unless_late(rollout, now)
    if seen is None or now < rollout.entered_at + settings.step_seconds:
        return _unless_late(rollout, now)
    if rollout.first_step < 1 or rollout.step + 1 < len(settings.steps):
        return _next_step(rollout, seen, now, settings)
    return _last_step(rollout, seen, now, settings)


def _on_broken_split(rollout: Rollout, now: float, settings: RolloutSettings) -> Rollout:
    reason = (
        "the users are not split equally between candidate and control:"
        f" {rollout.verdict.numbers.get('ab/exposed_candidate', 0):.0f} against"
        f" {rollout.verdict.numbers.get('ab/exposed_control', 0):.0f}"
    )
    if settings.guardrail.srm_action == "rollback":
        return _give_up(rollout, Stage.ROLLED_BACK, now, reason)
    verdict = msgspec.structs.replace(rollout.verdict, outcome=VerdictKind.WAIT, reasons=(reason,))
    return _unless_late(msgspec.structs.replace(rollout, verdict=verdict), now)


def _next_step(
    rollout: Rollout, seen: Observation, now: float, settings: RolloutSettings
) -> Rollout:
    lacking = lacks_evidence(seen, settings)
    if lacking is not None:
        verdict = msgspec.structs.replace(
            rollout.verdict, reasons=(*rollout.verdict.reasons, lacking)
        )
        return _unless_late(msgspec.structs.replace(rollout, verdict=verdict), now)
    # After a smaller first step comes the whole one.
    step = rollout.step + 1 if rollout.first_step == 1 else 0
    rollout = msgspec.structs.replace(rollout, first_step=1.0)
    reason = _share(settings, step)
    return _move(rollout, Stage.CANARY, now, reason, step=step, deadline=rollout.deadline)


def _last_step(
    rollout: Rollout, seen: Observation, now: float, settings: RolloutSettings
) -> Rollout:
    passed, reason, numbers = shown_goals(seen, settings)
    reasons = (reason,) if passed else (*rollout.verdict.reasons, reason)
    outcome = VerdictKind.PASS if passed else rollout.verdict.outcome
    verdict = Verdict(
        outcome=outcome, reasons=reasons, numbers={**rollout.verdict.numbers, **numbers}
    )
    rollout = msgspec.structs.replace(rollout, verdict=verdict)
    if not passed:
        return _unless_late(rollout, now)
    return _move(rollout, Stage.PROMOTED, now, reason, deadline=now + settings.bake_seconds)


def _promoted(
    rollout: Rollout,
    seen: Observation | None,
    since_promotion: Observation | None,
    now: float,
    settings: RolloutSettings,
) -> Rollout:
    """Compare all that was seen, which late feedback still changes, and what is new by itself.

    The second is a test of its own, at half the alpha: harm that begins with the promotion would
    otherwise be outweighed by all the users who saw none before.
    """
    guards = settings.guardrail
    own = msgspec.structs.replace(guards, alpha_harm=guards.alpha_harm / 2)
    for said, look, bounds in (
        ("", seen, guards),
        ("since its promotion: ", since_promotion, own),
    ):
        if look is None:
            continue
        verdict = guard(look, bounds, planned_users=settings.planned_users)
        if look is seen or verdict.outcome is VerdictKind.FAIL:
            rollout = msgspec.structs.replace(rollout, verdict=verdict, looks=rollout.looks + 1)
        if verdict.outcome is VerdictKind.FAIL:
            return _refuse(rollout, Stage.ROLLED_BACK, now, said + verdict.reason)
    if now < rollout.deadline:
        return rollout
    users = 0
    if since_promotion is not None:
        users = min(since_promotion.candidate.sums.users, since_promotion.control.sums.users)
    reason = f"no late evidence against it, in {users} users per variant since its promotion"
    return _move(rollout, Stage.SETTLED, now, reason)


_ADVANCES: dict[Stage, Callable[[Rollout, Observation | None, float, RolloutSettings], Rollout]] = {
    Stage.OFFERED: _offered,
    Stage.GATED: _gated,
    Stage.CANARY: _canary,
}


def _share(settings: RolloutSettings, step: int, *, part: float = 1.0) -> str:
    share = part * settings.steps[step]
    return f"{share:.1%} of users, step {step + 1} of {len(settings.steps)}"


def _unless_late(rollout: Rollout, now: float) -> Rollout:
    if now < rollout.deadline:
        return rollout
    reason = f"out of time as {rollout.stage}: {rollout.verdict.reason or 'nothing was decided'}"
    return _give_up(rollout, Stage.SUPERSEDED, now, reason)


def _give_up(rollout: Rollout, stage: Stage, now: float, reason: str) -> Rollout:
    return msgspec.structs.replace(_move(rollout, stage, now, reason), learner_returns=True)


def _refuse(rollout: Rollout, stage: Stage, now: float, reason: str) -> Rollout:
    return msgspec.structs.replace(_give_up(rollout, stage, now, reason), quarantine=True)


def _move(
    rollout: Rollout,
    stage: Stage,
    now: float,
    reason: str,
    *,
    step: int = 0,
    deadline: float = 0.0,
) -> Rollout:
    move = Move(stage=stage, step=step, at=now, reason=reason)
    return msgspec.structs.replace(
        rollout,
        stage=stage,
        step=step,
        entered_at=now,
        deadline=deadline,
        trail=(*rollout.trail, move),
    )
