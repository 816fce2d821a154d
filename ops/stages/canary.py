"""Canary: what one look at a candidate that people meet leads to."""

import msgspec

from ..statistics.guardrail import Observation, guard, split_e_value
from ..statistics.verdict import VerdictKind
from .moves import give_up, move, refuse, unless_late
from .record import Rollout, Stage
from .settings import RolloutSettings
from .step_evidence import held_back, lacks_evidence, shown_goals


def share_in_words(settings: RolloutSettings, step: int, *, part: float = 1.0) -> str:
    """Return what a step shows to whom; `part` is that of a smaller first step."""
    share = part * settings.steps[step]
    return f"{share:.1%} of users, step {step + 1} of {len(settings.steps)}"


def to_canary(
    rollout: Rollout, now: float, settings: RolloutSettings, *, because: str = ""
) -> Rollout:
    """Return the rollout at its first users."""
    share = share_in_words(settings, 0, part=rollout.first_step)
    reason = f"{because}; {share}" if because else share
    deadline = now + settings.deadline_seconds
    return move(rollout, Stage.CANARY, now, reason, deadline=deadline)


def look_at_canary(
    rollout: Rollout, seen: Observation | None, now: float, settings: RolloutSettings
) -> Rollout:
    """Return the rollout taken back, a step up, promoted, out of time, or where it was.

    Abort beats promotion, and promotion beats the deadline.
    """
    verdict = guard(seen)
    broken = seen is not None and split_e_value(seen) >= 1 / settings.guardrail.srm_alpha
    broken = broken or rollout.split_broken
    before = rollout
    rollout = msgspec.structs.replace(
        rollout,
        verdict=verdict,
        looks=rollout.looks + 1,
        split_broken=broken,
        doubt="",
        doubted_since=0.0,
    )
    if verdict.outcome is VerdictKind.FAIL:
        return refuse(rollout, Stage.ROLLED_BACK, now, verdict.reason)
    if broken:
        return _on_broken_split(rollout, now, settings)
    rollout = held_back(rollout, seen)
    if rollout.held:
        return unless_late(rollout, now)
    if seen is None or now < rollout.entered_at + settings.step_seconds:
        return unless_late(rollout, now)
    if rollout.first_step < 1 or rollout.step + 1 < len(settings.steps):
        return _next_step(rollout, seen, now, settings)
    return _last_step(rollout, seen, now, settings, before)


def _on_broken_split(rollout: Rollout, now: float, settings: RolloutSettings) -> Rollout:
    reason = (
        "the users are not split equally between candidate and control:"
        f" {rollout.verdict.numbers.get('ab/assigned_candidate', 0):.0f} against"
        f" {rollout.verdict.numbers.get('ab/assigned_control', 0):.0f}"
    )
    if settings.guardrail.srm_action == "rollback":
        return give_up(rollout, Stage.ROLLED_BACK, now, reason)
    verdict = msgspec.structs.replace(rollout.verdict, outcome=VerdictKind.WAIT, reasons=(reason,))
    return unless_late(msgspec.structs.replace(rollout, verdict=verdict), now)


def _next_step(
    rollout: Rollout, seen: Observation, now: float, settings: RolloutSettings
) -> Rollout:
    lacking = lacks_evidence(seen, settings)
    if lacking is not None:
        verdict = msgspec.structs.replace(
            rollout.verdict, reasons=(*rollout.verdict.reasons, lacking)
        )
        return unless_late(msgspec.structs.replace(rollout, verdict=verdict), now)
    # After a smaller first step comes the whole one.
    step = rollout.step + 1 if rollout.first_step == 1 else 0
    rollout = msgspec.structs.replace(rollout, first_step=1.0)
    reason = share_in_words(settings, step)
    return move(rollout, Stage.CANARY, now, reason, step=step, deadline=rollout.deadline)


def _last_step(
    rollout: Rollout, seen: Observation, now: float, settings: RolloutSettings, before: Rollout
) -> Rollout:
    passed, reason = shown_goals(seen, settings)
    if passed and before.doubt:
        since = min(before.doubted_since or now, now)  # A clock may have been set back.
        rollout = msgspec.structs.replace(rollout, doubt=before.doubt, doubted_since=since)
        passed, reason = False, f"{before.doubt}; so far {reason}"
    reasons = (reason,) if passed else (*rollout.verdict.reasons, reason)
    outcome = VerdictKind.PASS if passed else rollout.verdict.outcome
    verdict = msgspec.structs.replace(rollout.verdict, outcome=outcome, reasons=reasons)
    rollout = msgspec.structs.replace(rollout, verdict=verdict)
    if rollout.doubt and not before.doubted_since:
        # The look at what it does that decides comes after this one: it is waited for.
        return rollout
    if not passed:
        return unless_late(rollout, now)
    return move(rollout, Stage.PROMOTED, now, reason, deadline=now + settings.bake_seconds)
