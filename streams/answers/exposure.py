"""Exposure: which users were really served a variant of an experiment, with their rewards."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ..answers.answer_rows import LATEST, NAMED
from ..events.generation import SHADOW, shadow_id
from ..state.transaction import Transaction

OUTCOMES = """
ALTER TABLE episodes ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN user_named INTEGER NOT NULL DEFAULT 1;
ALTER TABLE episodes ADD COLUMN revised INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN late_reward REAL
"""
"""`reward` is what was trained on; where `revised` is 1, `late_reward` is what the answer is worth
with the feedback that came after, NULL where its decision was taken back."""

MEASURED = """
ALTER TABLE episodes ADD COLUMN harness TEXT NOT NULL DEFAULT '';
ALTER TABLE episodes ADD COLUMN latency REAL;
ALTER TABLE episodes ADD COLUMN tokens INTEGER;
ALTER TABLE episodes ADD COLUMN first_turn INTEGER NOT NULL DEFAULT 1
"""
"""What a comparison measures besides rewards."""

SPECS = """
ALTER TABLE episodes ADD COLUMN undecided INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN late_spec TEXT
"""
"""`undecided` is 1 where `reward` is what the spec gives answers that nobody decided on; `late_spec` is
the spec that `late_reward` is by, NULL where it is that of `reward`."""

BY_TIME = """
DROP INDEX episodes_salt;
CREATE INDEX episodes_salt ON episodes (policy, salt, received) WHERE salt IS NOT NULL
"""
"""What came under a salt since a time is read without what came before."""

MOST_TIME = 1e15
"""Later than any time; PostgreSQL's own infinity is not asked for."""

UserRow = tuple[str, float, int]
"""User, sum of rewards, number of rewarded episodes."""


class MirroredPair(NamedTuple):
    """A mirrored answer, which nobody was shown, beside the champion's to the same request."""

    user: str
    """Hashed user; empty where the product named none."""
    failed: int
    """1 where the engine failed it."""
    cut: int
    """1 where it showed nothing, or was cut at its length limit."""
    tokens: int | None
    """Tokens written; None where it failed."""
    champion_failed: int
    """Of the champion's answer, likewise."""
    champion_cut: int
    """Likewise."""
    champion_tokens: int | None
    """Likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantTally:
    """What one variant served."""

    users: int = 0
    """Named users really served, rewarded or not."""
    assigned: int = 0
    """Of those, the ones that had a request early enough for every answer to it to be known."""
    requests: int = 0
    """Requests, of unnamed users too."""
    failed: int = 0
    """Of those, the ones that the engine failed."""
    empty: int = 0
    """Of those, the answers that showed nothing."""
    cut: int = 0
    """Of those, the answers cut at their length limit."""


def user_sums(
    tx: Transaction, policy: str, salt: str, *, since: float = 0.0
) -> dict[str, list[UserRow]]:
    """Return each variant's users with the sum and count of their rewards, under one salt.

    With `since`, epoch seconds, only answers received from then on count.

    Counted from the first request that a variant really served: an assignment alone is no
    exposure. Late feedback counts as soon as it is scored, also where training froze the reward.
    A user whom the product did not name is a session and no user: such answers are left out.
    """
    rows = tx.execute(
        f"SELECT variant, user_hash, SUM({LATEST}), COUNT({LATEST}) FROM episodes"
        f" WHERE policy = ? AND salt = ? AND received >= ? AND {LATEST} IS NOT NULL AND {NAMED}"
        " GROUP BY variant, user_hash",
        (policy, salt, since),
    )
    found: dict[str, list[UserRow]] = {}
    for variant, user, total, count in rows.fetchall():
        found.setdefault(variant, []).append((user, total, count))
    return found


def mirrored_pairs(tx: Transaction, policy: str, version: str) -> list[MirroredPair]:
    """Return a candidate's mirrored answers beside those that people got, oldest first."""
    rows = tx.execute(
        "SELECT CASE WHEN s.user_named = 1 THEN COALESCE(s.user_hash, '') ELSE '' END,"
        " s.failed, s.empty + s.cut, s.tokens, c.failed, c.empty + c.cut, c.tokens"
        " FROM episodes s JOIN episodes c ON c.policy = s.policy"
        " AND c.generation_id = SUBSTR(s.generation_id, 1, LENGTH(s.generation_id) - ?)"
        " WHERE s.policy = ? AND s.salt = ? AND s.variant = ? AND c.received IS NOT NULL"
        " ORDER BY s.received",
        (len(shadow_id("")), policy, version, SHADOW),
    )
    return [MirroredPair._make(row) for row in rows.fetchall()]


def user_means(tx: Transaction, policy: str, salt: str) -> dict[str, float]:
    """Return each named user's mean reward under a salt, whatever variant served him."""
    rows = tx.execute(
        f"SELECT user_hash, AVG({LATEST}) FROM episodes"
        f" WHERE policy = ? AND salt = ? AND {LATEST} IS NOT NULL AND {NAMED} GROUP BY user_hash",
        (policy, salt),
    )
    return dict(rows.fetchall())


def exposures(
    tx: Transaction,
    policy: str,
    salt: str,
    *,
    since: float = 0.0,
    assigned_until: float = float("inf"),
) -> dict[str, VariantTally]:
    """Return what each variant served under one salt, of answers received from `since` on.

    Users are counted once more by their requests up to `assigned_until`: where every answer to these
    is known, however slow it was, a slow variant has as many of them as a quick one. Answers to
    sessions that were moved count for none.
    """
    rows = tx.execute(
        f"SELECT variant, COUNT(DISTINCT CASE WHEN {NAMED} THEN user_hash END),"
        f" COUNT(DISTINCT CASE WHEN {NAMED} AND COALESCE(assigned, received) <= ?"
        " THEN user_hash END), COUNT(*), SUM(failed), SUM(empty), SUM(cut) FROM episodes"
        " WHERE policy = ? AND salt = ? AND received >= ? AND moved = 0 GROUP BY variant",
        (min(assigned_until, MOST_TIME), policy, salt, since),
    )
    return {
        variant: VariantTally(
            users=users, assigned=assigned, requests=requests, failed=failed, empty=empty, cut=cut
        )
        for variant, users, assigned, requests, failed, empty, cut in rows.fetchall()
    }


def put_late_rewards(
    tx: Transaction, policy: str, rewards: Iterable[tuple[str, float | None]], spec_version: str
) -> None:
    """Write what answers are worth now whose reward is frozen: for comparisons, not for training."""
    tx.executemany(
        "UPDATE episodes SET revised = 1, late_reward = ?, late_spec = ?"
        " WHERE policy = ? AND generation_id = ?",
        [(reward, spec_version, policy, generation_id) for generation_id, reward in rewards],
    )
