"""Bake: what one look at a promoted version leads to."""

import msgspec

from ..statistics.guardrail import Observation, guard
from ..statistics.verdict import VerdictKind
from .moves import give_up, move, refuse
from .record import Rollout, Stage
from .settings import RolloutSettings
from .step_evidence import held_back


def look_at_bake(
    rollout: Rollout,
    seen: Observation | None,
    since_promotion: Observation | None,
    now: float,
    settings: RolloutSettings,
) -> Rollout:
    """Compare all that was seen, which late feedback still changes, and what is new by itself.

    The second is a test of its own, at half the alpha (`Release` asks for it so): harm that begins
    with the promotion would otherwise be outweighed by all the users who saw none before. What holds
    a canary does not let a bake settle either: the version is given up without blame at its end,
    unless a person promoted it over just that.
    """
    for said, look in (("", seen), ("since its promotion: ", since_promotion)):
        if look is None:
            continue
        verdict = guard(look)
        if look is seen or verdict.outcome is VerdictKind.FAIL:
            rollout = msgspec.structs.replace(rollout, verdict=verdict, looks=rollout.looks + 1)
        if verdict.outcome is VerdictKind.FAIL:
            return refuse(rollout, Stage.ROLLED_BACK, now, said + verdict.reason)
        if not rollout.overruled:
            rollout = held_back(rollout, look)
    if now < rollout.deadline:
        return rollout
    if rollout.held:
        return give_up(rollout, Stage.SUPERSEDED, now, f"not kept after its bake: {rollout.held}")
    rewards = None if since_promotion is None else since_promotion.readout.rewards
    users = 0 if rewards is None else min(mean.users for mean in rewards)
    reason = f"no late evidence against it, in {users} users per variant since its promotion"
    return move(rollout, Stage.SETTLED, now, reason)
