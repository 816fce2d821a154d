"""Transitions: what follows in the other tables when a rollout moves."""

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..stages.record import Rollout, Stage
from . import candidates_table, champions_table, rollouts_table
from .rollouts_table import LearnerReturn


def save_move(
    tx: Transaction, policy: str, before: Rollout | None, after: Rollout, now: float
) -> Rollout:
    """Save a rollout, and all that follows from its having moved; return it."""
    if after == before:
        return after
    rollouts_table.save(tx, policy, after)
    if before is not None and after.stage is before.stage:
        return after
    reason = after.trail[-1].reason
    if after.stage is Stage.PROMOTED:
        champions_table.set_champion(tx, policy, after.version, reason, now)
        candidates_table.close(tx, policy, after.version, after.stage, reason)
    elif after.ended:
        candidates_table.close(tx, policy, after.version, after.stage, reason)
        if after.stage is not Stage.SETTLED:
            _give_up(tx, policy, after, reason, now)
    return after


def _give_up(tx: Transaction, policy: str, rollout: Rollout, reason: str, now: float) -> None:
    """Replace the version where it was champion; where the learner leaves it, end its line."""
    version = candidates_table.find(tx, policy, rollout.version)
    if rollout.quarantine:
        candidates_table.quarantine(tx, policy, version, reason, now)
    champion = champions_table.champion(tx, policy)
    if champion == version:
        previous = champions_table.previous(tx, policy)
        assert previous is not None, f"{rollout.version} was the first champion"
        why = f"{rollout.version}: {reason}"
        champions_table.set_champion(tx, policy, previous.version, why, now)
        champion = previous
    if not rollout.learner_returns:
        return
    made_from_it = [
        child for child in candidates_table.waiting(tx, policy) if child.sequence > version.sequence
    ]
    if made_from_it and rollout.out_of_time and rollout.passed_gate and not rollout.held:
        return  # One update is often too little to be seen. The newest has more, and is tried next.
    for child in made_from_it:
        gone = f"made from {rollout.version}, which was given up"
        candidates_table.close(tx, policy, child.version, Stage.SUPERSEDED, gone)
    owe_return(tx, policy, version, champion, reason, now)


def owe_return(
    tx: Transaction, policy: str, refused: Candidate, to: Candidate, reason: str, now: float
) -> None:
    """Write down that the learner, which stands on a version given up, goes back to another."""
    owed = LearnerReturn(
        refused_version=refused.version,
        refused_sequence=refused.sequence,
        to_sequence=to.sequence,
        reason=reason,
    )
    rollouts_table.ask_return(tx, policy, owed, now)
