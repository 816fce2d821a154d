"""Bake: what one look at a promoted version leads to."""

import msgspec

from ..statistics.guardrail import Observation, guard
from ..statistics.verdict import VerdictKind
from .moves import move, refuse
from .record import Rollout, Stage
from .settings import RolloutSettings


def look_at_bake(
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
            return refuse(rollout, Stage.ROLLED_BACK, now, said + verdict.reason)
    if now < rollout.deadline:
        return rollout
    users = 0
    if since_promotion is not None:
        users = min(since_promotion.candidate.sums.users, since_promotion.control.sums.users)
    reason = f"no late evidence against it, in {users} users per variant since its promotion"
    return move(rollout, Stage.SETTLED, now, reason)
