"""Unfit: why a version is never offered, or cannot be pinned."""

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..stages.record import Stage
from . import candidates_table, champions_table, rollouts_table


def flaw_of(tx: Transaction, policy: str, candidate: Candidate) -> tuple[Stage, str] | None:
    """Return why a new version is never to be offered."""
    banned = candidates_table.quarantined(tx, policy).get(candidate.digest)
    if banned is not None:
        return Stage.QUARANTINED, f"the weights of {banned}"
    owed = rollouts_table.must_return(tx, policy)
    if owed is not None and candidate.sequence > owed.refused_sequence:
        return Stage.SUPERSEDED, f"made from {owed.refused_version}, which was given up"
    for known in (
        champions_table.champion(tx, policy),
        champions_table.previous(tx, policy),
        candidates_table.anchor(tx, policy),
    ):
        if known is not None and known.digest == candidate.digest:
            return Stage.SUPERSEDED, f"the same weights as {known.version}"
    return None


def check_pin(tx: Transaction, policy: str, version: str) -> None:
    """Raise ValueError, with the reason, for a version that cannot be pinned."""
    known = {name for name, _, _ in champions_table.history(tx, policy)}
    if version not in known:
        raise ValueError(f"{version}: was never champion; only such a version can be pinned")
    digest = candidates_table.find(tx, policy, version).digest
    banned = candidates_table.quarantined(tx, policy).get(digest)
    if banned is not None:
        raise ValueError(f"{version}: is quarantined: {banned}")
    if version in candidates_table.pruned(tx, policy):
        raise ValueError(f"{version}: its weights were deleted (see keep_checkpoints)")
