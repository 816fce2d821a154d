"""Retention: content is forgotten after a while; keys, fates and counts stay (CONTRACTS 13)."""

from collections.abc import Sequence

import msgspec

from ..answers.session_turns import forget_sessions
from ..answers.traced import note_forgotten
from ..attribution import chain_table
from ..attribution.referenced import forget_references
from ..attribution.spreading import forget_spread
from ..events.stage import EpisodeStage
from ..sessions.contents import forget_contents
from ..sessions.turns_table import forget_turns
from ..state.bulk import by_ids
from ..state.transaction import Transaction, is_shared, row_lock
from . import dead_letters, fate

KIND_BYTES = 64
"""Above the length of feedback of which only the kind is left, below that of any whole one."""
AT_ONCE = 5_000
"""Most episodes in one transaction, so that a backlog never holds the database."""


def expire(tx: Transaction, policy: str, before: float) -> int:
    """Forget the content of episodes received before then; return how many.

    Keys, fates, rewards and counts stay, so a topic that is read again from zero still changes
    nothing. An episode that was still waiting is too old to learn from: it ends as
    `excluded:expired`. A sealed batch is not touched.
    """
    ids = [
        row[0]
        for row in tx.execute(
            "SELECT generation_id FROM episodes WHERE policy = ? AND received < ?"
            f" AND content IS NOT NULL AND stage <> '{EpisodeStage.SEALED}' ORDER BY received LIMIT ?",
            (policy, before, AT_ONCE),
        ).fetchall()
    ]
    _hold(tx, policy, ids)
    tx.executemany(
        f"UPDATE episodes SET stage = '{EpisodeStage.CLOSED}', fate = ?"
        f" WHERE policy = ? AND generation_id = ? AND stage <> '{EpisodeStage.CLOSED}'",
        [(fate.EXPIRED, policy, generation_id) for generation_id in ids],
    )
    forget_contents(tx, policy, ids)
    forget_turns(tx, policy, ids)
    forget_references(tx, policy, ids)
    chain_table.forget_old(tx, policy, before)
    note_forgotten(tx, policy, ids, before)
    # Feedback outlives no answer that was never kept: without consent, late, or never served.
    said = tx.execute(
        "SELECT DISTINCT f.generation_id FROM feedback f JOIN episodes e"
        " ON e.policy = f.policy AND e.generation_id = f.generation_id"
        " WHERE f.policy = ? AND f.received < ? AND LENGTH(f.payload) > ?"
        f" AND e.stage = '{EpisodeStage.CLOSED}' AND e.content IS NULL ORDER BY f.generation_id LIMIT ?",
        (policy, before, KIND_BYTES, AT_ONCE),
    ).fetchall()
    for generation_id in dict.fromkeys([*ids, *(row[0] for row in said)]):
        forget_feedback(tx, policy, generation_id)
    dead_letters.forget(tx, policy, before)
    forget_sessions(tx, policy, before)
    return len(ids)


def _hold(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Keep polls from new turns that begin with the tokens of these, until the transaction ends."""
    if is_shared(tx):
        for marks, chunk in by_ids(sorted(ids)):
            tx.execute(
                f"SELECT 1 FROM episodes WHERE policy = ? AND generation_id IN ({marks})"
                " ORDER BY generation_id" + row_lock(tx),
                (policy, *chunk),
            )


def forget_feedback(tx: Transaction, policy: str, generation_id: str) -> None:
    """Keep of each feedback its kind alone: texts and edits go, from dead letters too.

    Of what was said of an answer the answers before it keep nothing.
    """
    forget_spread(tx, policy, generation_id)
    rows = tx.execute(
        'SELECT feedback_id, tenant, kind, attribution, topic, partition, "offset" FROM feedback'
        " WHERE policy = ? AND generation_id = ?",
        (policy, generation_id),
    ).fetchall()
    dead_letters.forget_values(tx, policy, [row[4:] for row in rows])
    # What was said of a whole session is about this answer too.
    chain_table.forget_places(tx, policy, [row[4:] for row in rows if row[3]])
    tx.executemany(
        "UPDATE feedback SET payload = ?"
        " WHERE policy = ? AND generation_id = ? AND feedback_id = ? AND tenant = ?",
        [
            (msgspec.json.encode({"signal": {"kind": kind}}), policy, generation_id, *named)
            for *named, kind, _, _, _, _ in rows
        ],
    )
