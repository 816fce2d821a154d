"""Reigns: who was champion, from when, and why; only ever added to."""

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from . import candidates_table


def set_champion(tx: Transaction, policy: str, version: str, reason: str, now: float) -> None:
    """Make a registered version the champion."""
    row = tx.execute(
        "SELECT COALESCE(MAX(number), 0) FROM reigns WHERE policy = ?", (policy,)
    ).fetchone()
    tx.execute(
        "INSERT INTO reigns VALUES (?, ?, ?, ?, ?)", (policy, row[0] + 1, version, now, reason)
    )


def line(tx: Transaction, policy: str, limit: int = 1000) -> list[tuple[str, float, str]]:
    """Return (version, since, reason) of the last reigns, newest first."""
    return tx.execute(
        "SELECT version, since, reason FROM reigns WHERE policy = ? ORDER BY number DESC LIMIT ?",
        (policy, limit),
    ).fetchall()


def successors(tx: Transaction, policy: str, count: int) -> list[str]:
    """Return whom rollbacks one after another would crown, the champion first, v0 left out."""
    banned, gone = candidates_table.quarantined(tx, policy), candidates_table.pruned(tx, policy)
    found: dict[str, None] = {}
    for version, _, _ in line(tx, policy):
        if len(found) == count:
            break
        if version not in gone and candidates_table.find(tx, policy, version).digest not in banned:
            found[version] = None
    return list(found)


def champion(tx: Transaction, policy: str) -> Candidate | None:
    """Return who reigns; None before v0 was registered."""
    row = tx.execute(
        "SELECT version FROM reigns WHERE policy = ? ORDER BY number DESC LIMIT 1", (policy,)
    ).fetchone()
    return None if row is None else candidates_table.find(tx, policy, row[0])


def previous(tx: Transaction, policy: str) -> Candidate | None:
    """Return whom a rollback of the champion would crown; None where v0 reigns and always has.

    The last other champion that was never quarantined and has its weights still; v0 is always both.
    """
    reigns, banned = line(tx, policy), candidates_table.quarantined(tx, policy)
    gone = candidates_table.pruned(tx, policy)
    for version, _, _ in reigns[1:]:
        if version != reigns[0][0] and version not in gone:
            candidate = candidates_table.find(tx, policy, version)
            if candidate.digest not in banned:
                return candidate
    anchor = candidates_table.first(tx, policy)
    return None if anchor is None or not reigns or anchor.version == reigns[0][0] else anchor
