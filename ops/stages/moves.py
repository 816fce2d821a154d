"""Moves: how a rollout gets from one stage to the next, or ends."""

import msgspec

from .record import Move, Rollout, Stage


def unless_late(rollout: Rollout, now: float) -> Rollout:
    """Return the rollout where it is, or ended without blame once its time is over."""
    if now < rollout.deadline:
        return rollout
    reason = f"out of time as {rollout.stage}: {rollout.verdict.reason or 'nothing was decided'}"
    late = msgspec.structs.replace(rollout, out_of_time=True)
    return give_up(late, Stage.SUPERSEDED, now, reason)


def give_up(rollout: Rollout, stage: Stage, now: float, reason: str) -> Rollout:
    """Return the rollout as given up: the learner, which stands on it, is to leave it."""
    return msgspec.structs.replace(move(rollout, stage, now, reason), learner_returns=True)


def refuse(rollout: Rollout, stage: Stage, now: float, reason: str) -> Rollout:
    """Return the rollout as ended for cause: its digest is never offered again."""
    return msgspec.structs.replace(give_up(rollout, stage, now, reason), quarantine=True)


def move(
    rollout: Rollout,
    stage: Stage,
    now: float,
    reason: str,
    *,
    step: int = 0,
    deadline: float = 0.0,
) -> Rollout:
    """Return the rollout in another stage or step, with a line in its trail."""
    line = Move(stage=stage, step=step, at=now, reason=reason)
    return msgspec.structs.replace(
        rollout,
        stage=stage,
        step=step,
        entered_at=now,
        deadline=deadline,
        trail=(*rollout.trail, line),
    )
