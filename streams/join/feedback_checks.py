"""Feedback that does not count: of another tenant than was served, or more than one answer may have.

Such feedback is dead-lettered with a reason that names it, and its row stays, marked dead, so that
sending it again is still a duplicate.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ..events.event import Feedback
from ..events.generation import Generation
from ..log.ports import Partition
from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .dead_letters import DeadLetter, put_dead_letter
from .episodes_table import EpisodeRow

FEEDBACK_TENANTS = """
CREATE TABLE told_feedback (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL, feedback_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL, acted REAL NOT NULL, received REAL NOT NULL, payload BLOB NOT NULL,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    dead INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, generation_id, feedback_id, tenant));
INSERT INTO told_feedback SELECT f.policy, f.generation_id, f.feedback_id,
    COALESCE((SELECT e.tenant FROM episodes e
        WHERE e.policy = f.policy AND e.generation_id = f.generation_id), 'default'),
    f.kind, f.acted, f.received, f.payload, f.topic, f.partition, f."offset", f.dead
    FROM feedback f;
DROP TABLE feedback;
ALTER TABLE told_feedback RENAME TO feedback
"""
"""Whoever says it is part of feedback's identity: another tenant that guesses the ids of an answer
and of its feedback takes no place of the true one's."""


ORIGINS = """
ALTER TABLE feedback ADD COLUMN origin TEXT NOT NULL DEFAULT ''
"""
"""The generation whose record says so, of a signal that nobody posted; empty for posted feedback."""

TAKEN = """
ALTER TABLE feedback ADD COLUMN taken REAL;
DROP INDEX feedback_tools;
CREATE INDEX feedback_tools ON feedback (policy, (COALESCE(taken, received)))
    WHERE kind = 'tool_result'
"""
"""When it was taken in, by the daemon's clock, of what came back from tools: whoever wrote it may have
another clock, and what comes late was received long before. NULL in what is older."""


class FeedbackKey(NamedTuple):
    """What makes two records the same feedback."""

    generation_id: str
    """The answer that it is about."""
    feedback_id: str
    """Its own id."""
    tenant: str
    """Whose product says it; empty for the answer's own."""


class Refusal(NamedTuple):
    """One feedback that does not count."""

    key: FeedbackKey
    """Which."""
    reason: str
    """Why it does not count."""


def refuse_feedback(
    tx: Transaction,
    policy: str,
    said: Mapping[FeedbackKey, Generation | Feedback],
    served: Mapping[str, str],
    known: Mapping[str, EpisodeRow],
    now: float,
    cap: int,
) -> dict[FeedbackKey, Partition]:
    """Dead-letter feedback that may not count; return where each record of it stood.

    `said` is the new feedback of a poll, and its rows are written;
    `served` has the tenants of the poll's new generations, and `known` the rows that there were.
    The caller counts the records.
    """
    refusals = _of_other_tenants(said, known, served)
    refusals += _of_met_orphans(tx, policy, [name for name in served if name in known], served)
    stood = _refuse(tx, policy, refusals, now)
    came = Counter([key.generation_id for key in said])
    # An answer without a row before has the poll's feedback and no more.
    many = [name for name, count in came.items() if count > cap or name in known]
    beyond = _beyond_cap(tx, policy, many, cap)
    return stood | _refuse(tx, policy, beyond, now)


def _of_other_tenants(
    said: Mapping[FeedbackKey, Generation | Feedback],
    known: Mapping[str, EpisodeRow],
    served: Mapping[str, str],
) -> list[Refusal]:
    """Return the feedback on answers that were served to another tenant.

    The tenant of a generation that has not come is not known yet: `_of_met_orphans` looks once it
    has. Nor is that of one taken in before tenants were kept: any feedback on it counts. So does
    feedback that names no tenant: its writer may name any, and means the answer's own.
    """
    found: list[Refusal] = []
    for key, data in said.items():
        name = key.generation_id
        tenant = served.get(name)
        if tenant is None and name in known:
            tenant = known[name].tenant
        if tenant is not None and data.tenant and tenant != data.tenant:
            found.append(Refusal(key, _wrong_tenant(name, data.tenant)))
    return found


def _of_met_orphans(
    tx: Transaction, policy: str, met: Iterable[str], served: Mapping[str, str]
) -> list[Refusal]:
    """Return the feedback that waited for these generations, and is of another tenant than theirs."""
    found: list[Refusal] = []
    for marks, chunk in by_ids(sorted(met)):
        rows = tx.execute(
            "SELECT generation_id, feedback_id, tenant FROM feedback"
            f" WHERE policy = ? AND generation_id IN ({marks}) AND dead = 0",
            (policy, *chunk),
        ).fetchall()
        for key in map(FeedbackKey._make, rows):
            if key.tenant and key.tenant != served[key.generation_id]:
                found.append(Refusal(key, _wrong_tenant(key.generation_id, key.tenant)))
    return found


def _beyond_cap(tx: Transaction, policy: str, names: Sequence[str], cap: int) -> list[Refusal]:
    """Return the feedback by which these answers have more of one kind than may count.

    The earliest in the log count; an undoing is of another kind than what it undoes, so nobody can
    keep it out by sending much of something else; what was derived, or is about a whole
    session, takes no place. What waits for its answer is counted by tenant.
    """
    full: list[tuple[str, str, str]] = []
    for marks, chunk in by_ids(names):
        full += tx.execute(
            "SELECT generation_id, kind, tenant FROM feedback"
            f" WHERE policy = ? AND generation_id IN ({marks}) AND dead = 0 AND origin = ''"
            " AND attribution IS NULL GROUP BY generation_id, kind, tenant HAVING COUNT(*) > ?",
            (policy, *chunk, cap),
        ).fetchall()
    found: list[Refusal] = []
    for name, kind, tenant in full:
        rows = tx.execute(
            "SELECT feedback_id FROM feedback WHERE policy = ? AND generation_id = ? AND kind = ?"
            " AND tenant = ? AND dead = 0 AND origin = '' AND attribution IS NULL"
            ' ORDER BY topic, partition, "offset"',
            (policy, name, kind, tenant),
        ).fetchall()
        reason = f"too_much_feedback: {name} has {cap} of kind {kind} already"
        found += [Refusal(FeedbackKey(name, one, tenant), reason) for (one,) in rows[cap:]]
    return found


def _refuse(
    tx: Transaction, policy: str, refusals: Sequence[Refusal], now: float
) -> dict[FeedbackKey, Partition]:
    """Dead-letter feedback whose rows are written; return where each record stood."""
    stood: dict[FeedbackKey, Partition] = {}
    for key, reason in refusals:
        where = (policy, *key)
        row = tx.execute(
            'SELECT topic, partition, "offset", payload, kind FROM feedback'
            " WHERE policy = ? AND generation_id = ? AND feedback_id = ? AND tenant = ?",
            where,
        ).fetchone()
        topic, index, offset, payload, kind = row
        partition = Partition(topic=topic, index=index)
        letter = DeadLetter(partition=partition, offset=offset, reason=reason, value=bytes(payload))
        put_dead_letter(tx, policy, letter, now)
        stood[key] = partition
        tx.execute(
            "UPDATE feedback SET dead = 1, payload = ?"
            " WHERE policy = ? AND generation_id = ? AND feedback_id = ? AND tenant = ?",
            (msgspec.json.encode({"signal": {"kind": kind}}), *where),
        )
    return stood


def _wrong_tenant(name: str, tenant: str) -> str:
    return f"wrong_tenant: {name} was not served to tenant {tenant!r}"
