"""Step evidence: what must be known of a candidate before more users meet it."""

import msgspec

from ..statistics.guardrail import Observation
from ..statistics.sequential_tests import compare, noninferior
from ..statistics.verdict import VerdictKind
from .record import Rollout
from .settings import RolloutSettings


def lacks_evidence(seen: Observation, settings: RolloutSettings) -> str | None:
    """Return what a step up still waits for; None where enough users do not look worse.

    One standard error of doubt is in the candidate's favour: an equal one passes 84 % of looks, and
    one that gets no rewards at all, because its answers fail or nobody minds it, passes none.
    """
    ours, theirs = seen.candidate.sums, seen.control.sums
    users, needed = min(ours.users, theirs.users), max(2, settings.step_users)
    if users < needed:
        return f"the next step waits for rewards of {needed} users per variant; there are {users}"
    look = compare(ours, theirs, alpha=settings.alpha_promote, planned_users=settings.planned_users)
    if look.difference + look.standard_error < 0:
        return (
            f"the next step waits: reward {look.difference:+.3f} against the control, which is more"
            f" than its standard error, {look.standard_error:.3f}, below 0"
        )
    return None


def shown_goals(seen: Observation, settings: RolloutSettings) -> tuple[bool, str, dict[str, float]]:
    """Return whether all goals of a promotion are shown, in words and numbers."""
    sums = seen.candidate.sums, seen.control.sums
    look = noninferior(
        *sums,
        margin=settings.margin,
        alpha=settings.alpha_promote,
        planned_users=settings.planned_users,
    )
    numbers = {"ab/promote_bound": look.low} if look.low > float("-inf") else {}
    verdict = seen.readout.verdict
    if seen.days < settings.min_days:
        waits = f"the promotion waits for {settings.min_days} whole days of traffic; there are {seen.days}"
        shown = verdict.outcome is VerdictKind.PASS
        return False, f"{waits}; so far {verdict.reason}" if shown else waits, numbers
    return verdict.outcome is VerdictKind.PASS, verdict.reason, numbers


def held_back(rollout: Rollout, seen: Observation | None) -> Rollout:
    """Return the rollout with what holds it, which is neither a step nor blame."""
    held = rollout.held
    if not held and seen is not None and seen.readout.held:
        held = seen.readout.verdict.reason
    if not held:
        return rollout
    verdict = msgspec.structs.replace(
        rollout.verdict, outcome=VerdictKind.WAIT, reasons=(held, *rollout.verdict.reasons)
    )
    return msgspec.structs.replace(rollout, held=held, verdict=verdict)
