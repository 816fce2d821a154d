"""Retention: what was said is forgotten after a while; that it was said is not (CONTRACTS 13)."""

import msgspec

from . import fate
from .contents import forget_contents
from .transaction import Transaction

AT_ONCE = 5_000
"""Most episodes in one transaction, so that a backlog never holds the database."""


def expire(tx: Transaction, policy: str, before: float) -> int:
    """Forget the content of episodes received before then; return how many.

    Keys, fates, rewards and counts stay, so a topic that is read again from zero still moves
    nothing. What was still waiting is too old for anybody to learn from: it ends as
    `excluded:expired`. A sealed batch is not touched.
    """
    ids = [
        row[0]
        for row in tx.execute(
            "SELECT generation_id FROM episodes WHERE policy = ? AND received < ?"
            " AND content IS NOT NULL AND stage <> 'sealed' ORDER BY received LIMIT ?",
            (policy, before, AT_ONCE),
        ).fetchall()
    ]
    tx.executemany(
        "UPDATE episodes SET stage = 'closed', fate = ?"
        " WHERE policy = ? AND generation_id = ? AND stage <> 'closed'",
        [(fate.EXPIRED, policy, generation_id) for generation_id in ids],
    )
    forget_contents(tx, policy, ids)
    for generation_id in ids:
        forget_feedback(tx, policy, generation_id)
    return len(ids)


def forget_feedback(tx: Transaction, policy: str, generation_id: str) -> None:
    """Keep of each feedback its kind alone: texts and edits go."""
    rows = tx.execute(
        "SELECT feedback_id, kind FROM feedback WHERE policy = ? AND generation_id = ?",
        (policy, generation_id),
    ).fetchall()
    tx.executemany(
        "UPDATE feedback SET payload = ?"
        " WHERE policy = ? AND generation_id = ? AND feedback_id = ?",
        [
            (msgspec.json.encode({"signal": {"kind": kind}}), policy, generation_id, feedback_id)
            for feedback_id, kind in rows
        ],
    )
