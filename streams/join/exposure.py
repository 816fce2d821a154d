"""Exposure: who was really served which variant of an experiment, and what came of it."""

from dataclasses import dataclass

from ..state.transaction import Transaction

UserRow = tuple[str, float, int]
"""User, sum of rewards, number of rewarded episodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantTally:
    """What one variant served."""

    users: int = 0
    """Users really served, rewarded or not."""
    requests: int = 0
    """Generations served."""
    empty: int = 0
    """Of those, the ones without a token."""


def user_sums(
    tx: Transaction, policy: str, salt: str, *, since: float = 0.0
) -> dict[str, list[UserRow]]:
    """Return each variant's users with the sum and count of their rewards, under one salt.

    With `since`, epoch seconds, only answers received from then on count.

    Counted from the first request that a variant really served: an assignment alone is no
    exposure. Late feedback counts as soon as it is scored.
    """
    rows = tx.execute(
        "SELECT variant, user_hash, SUM(reward), COUNT(*) FROM episodes"
        " WHERE policy = ? AND salt = ? AND received >= ? AND reward IS NOT NULL"
        " AND user_hash <> '' GROUP BY variant, user_hash",
        (policy, salt, since),
    )
    found: dict[str, list[UserRow]] = {}
    for variant, user, total, count in rows.fetchall():
        found.setdefault(variant, []).append((user, total, count))
    return found


def exposures(
    tx: Transaction, policy: str, salt: str, *, since: float = 0.0
) -> dict[str, VariantTally]:
    """Return what each variant served under one salt, of answers received from `since` on."""
    rows = tx.execute(
        "SELECT variant, COUNT(DISTINCT user_hash), COUNT(*), SUM(empty) FROM episodes"
        " WHERE policy = ? AND salt = ? AND received >= ? AND user_hash <> '' GROUP BY variant",
        (policy, salt, since),
    )
    return {
        variant: VariantTally(users=users, requests=requests, empty=empty)
        for variant, users, requests, empty in rows.fetchall()
    }
