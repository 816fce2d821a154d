"""Champions: the table of who was champion, from when, and why; rows are only ever added."""

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from . import candidates_table


def set_champion(tx: Transaction, policy: str, version: str, reason: str, now: float) -> None:
    """Make a registered version the champion."""
    row = tx.execute(
        "SELECT COALESCE(MAX(number), 0) FROM champions WHERE policy = ?", (policy,)
    ).fetchone()
    tx.execute(
        "INSERT INTO champions VALUES (?, ?, ?, ?, ?)", (policy, row[0] + 1, version, now, reason)
    )


def history(tx: Transaction, policy: str, limit: int = 1000) -> list[tuple[str, float, str]]:
    """Return (version, since, reason) of the last champions, newest first."""
    return tx.execute(
        "SELECT version, since, reason FROM champions WHERE policy = ?"
        " ORDER BY number DESC LIMIT ?",
        (policy, limit),
    ).fetchall()


def find_champion(tx: Transaction, policy: str) -> Candidate | None:
    """Return the version that serves everybody who is in no experiment; None before v0."""
    row = tx.execute(
        "SELECT version FROM champions WHERE policy = ? ORDER BY number DESC LIMIT 1", (policy,)
    ).fetchone()
    return None if row is None else candidates_table.find(tx, policy, row[0])


def champion(tx: Transaction, policy: str) -> Candidate:
    """Return the version that serves everybody who is in no experiment; v0 must be registered."""
    found = find_champion(tx, policy)
    assert found is not None, f"{policy}: v0 was never registered"
    return found


def previous(tx: Transaction, policy: str) -> Candidate | None:
    """Return the champion after a rollback of the present one; None where only v0 ever was.

    It is the last other champion that was never quarantined and still has its weights; v0 always
    qualifies.
    """
    champions, banned = history(tx, policy), candidates_table.quarantined(tx, policy)
    pruned = candidates_table.pruned(tx, policy)
    for version, _, _ in champions[1:]:
        if version != champions[0][0] and version not in pruned:
            candidate = candidates_table.find(tx, policy, version)
            if candidate.digest not in banned:
                return candidate
    v0 = candidates_table.find_anchor(tx, policy)
    return None if v0 is None or not champions or v0.version == champions[0][0] else v0


def rollback_targets(tx: Transaction, policy: str, count: int) -> list[str]:
    """Return the champions of so many rollbacks one after another, the present one first.

    v0, which always comes last, is left out.
    """
    banned = candidates_table.quarantined(tx, policy)
    pruned = candidates_table.pruned(tx, policy)
    found: dict[str, None] = {}
    for version, _, _ in history(tx, policy):
        if len(found) == count:
            break
        digest = candidates_table.find(tx, policy, version).digest
        if version not in pruned and digest not in banned:
            found[version] = None
    return list(found)
