"""Step evidence: what must be known of a candidate before more users meet it."""

import math

import msgspec

from ..statistics.guardrail import Observation
from ..statistics.verdict import VerdictKind
from .record import Rollout
from .settings import RolloutSettings


def lacks_evidence(seen: Observation, settings: RolloutSettings) -> str | None:
    """Return what a step up still waits for; None where enough users do not look worse.

    Rewards are compared as for a promotion, like with like: a candidate that is better in every
    segment and used more in a hard one does not look worse. One standard error of doubt is in its
    favour: an equal one passes 84 % of looks, and one that gets no rewards at all, because its
    answers fail or nobody minds it, passes none.
    """
    rewards, needed = seen.readout.rewards, max(2, settings.step_users)
    users = 0 if rewards is None else min(mean.users for mean in rewards)
    if rewards is None or users < needed:
        return f"the next step waits for rewards of {needed} users per variant; there are {users}"
    ours, theirs = rewards
    difference = ours.estimate - theirs.estimate
    error = math.sqrt(ours.variance + theirs.variance)
    if difference + error < 0:
        return (
            f"the next step waits: reward {difference:+.3f} against the control, which is more"
            f" than its standard error, {error:.3f}, below 0"
        )
    return None


def shown_goals(seen: Observation, settings: RolloutSettings) -> tuple[bool, str]:
    """Return whether all goals of a promotion are shown, in words."""
    verdict = seen.readout.verdict
    if seen.days < settings.min_days:
        waits = f"the promotion waits for {settings.min_days} whole days of traffic; there are {seen.days}"
        shown = verdict.outcome is VerdictKind.PASS
        return False, f"{waits}; so far {verdict.reason}" if shown else waits
    return verdict.outcome is VerdictKind.PASS, verdict.reason


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
