"""Retold: long answers to a person, and sessions of theirs that begin with a long text.

A harness that compacts a conversation may go on under another session: named anew, or known by how it
begins, which is the summary now. So a summary is looked for among the last long answers to the same
named person, too.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..events.generation import Generation
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction
from .turn import Turn

RETOLD = """
CREATE TABLE retold (
    policy TEXT NOT NULL, tenant TEXT NOT NULL, user_hash TEXT NOT NULL, began INTEGER NOT NULL,
    received REAL NOT NULL, generation_id TEXT NOT NULL, session_id TEXT NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (policy, tenant, user_hash, began, received, generation_id)) /* WITHOUT ROWID */
"""
"""`began` is 0 for an answer that may be retold, and 1 for a session's first, unlinked, turn; `length`
are the characters of the answer, or of what that turn was told."""

FEWEST = 200
"""Characters of an answer that may be the summary of a conversation."""
KEPT = 8
"""Most of a person's answers, and of such sessions, that are kept: the last ones."""
KEPT_SECONDS = 86_400.0
"""A summary is retold within a day."""


class MayBe(NamedTuple):
    """An answer that may be retold."""

    received: float
    """When it was received, epoch seconds."""
    generation_id: str
    """Which."""
    session_id: str
    """Its session."""
    length: int
    """Its characters."""


class Owner(NamedTuple):
    """A named person of a tenant."""

    tenant: str
    user_hash: str


class OfPerson(NamedTuple):
    """What is known of a person here: an answer that may be retold, or a session that may retell one."""

    began: bool
    """Whether it is the session."""
    received: float
    """When the answer, or the session's first one, was received, epoch seconds."""
    generation_id: str
    """Which."""
    session_id: str
    """Its session."""

    def may_retell(self, answer: "OfPerson") -> bool:
        """Return whether this is a session that may go on from that answer."""
        apart = self.session_id != answer.session_id
        within = 0.0 <= self.received - answer.received <= KEPT_SECONDS
        return self.began and not answer.began and apart and within


def owner_of(generation: Generation) -> Owner:
    """Return whose a generation is."""
    return Owner(generation.tenant, generation.user_hash)


def told_length(generation: Generation) -> int:
    """Return the characters of what a request says."""
    return sum(len(one.text) for one in generation.input)


def may_retell(generation: Generation) -> bool:
    """Return whether a request may begin anew from a summary."""
    begins = not generation.earlier_answers and generation.user_named
    return begins and bool(generation.user_hash) and told_length(generation) >= FEWEST


def may_be_retold(generation: Generation) -> bool:
    """Return whether an answer may be the summary of what was said before it."""
    named = generation.user_named and bool(generation.user_hash)
    return named and len(generation.text) >= FEWEST and not generation.tool_calls


def load_retold(
    tx: Transaction, policy: str, generation: Generation, *, after: float, until: float
) -> list[MayBe]:
    """Return the answers to a generation's person received between two times, the last ones first."""
    rows = tx.execute(
        "SELECT received, generation_id, session_id, length FROM retold WHERE policy = ?"
        " AND tenant = ? AND user_hash = ? AND began = 0 AND received >= ? AND received <= ?"
        " ORDER BY received DESC LIMIT ?",
        (policy, generation.tenant, generation.user_hash, after, until, KEPT),
    )
    return [MayBe(*row) for row in rows.fetchall()]


def load_people(
    tx: Transaction, policy: str, owners: Iterable[Owner]
) -> dict[Owner, list[OfPerson]]:
    """Return all that is known of these people."""
    by_tenant = defaultdict[str, set[str]](set)
    for owner in owners:
        by_tenant[owner.tenant].add(owner.user_hash)
    found = defaultdict[Owner, list[OfPerson]](list)
    for tenant, users in by_tenant.items():
        for marks, chunk in by_ids(sorted(users)):
            rows = tx.execute(
                "SELECT user_hash, began, received, generation_id, session_id FROM retold"
                f" WHERE policy = ? AND tenant = ? AND user_hash IN ({marks})",
                (policy, tenant, *chunk),
            )
            for user, began, *more in rows.fetchall():
                found[Owner(tenant, user)].append(OfPerson(bool(began), *more))
    return found


def put_retold(
    tx: Transaction, policy: str, new: Mapping[str, Generation], turns: Mapping[str, Turn]
) -> None:
    """Write which new turns may be summaries, or may go on from one that has not come."""
    rows = list[tuple[str, str, str, int, float, str, str, int]]()
    for name, data in new.items():
        at, own = turns[name].received, (policy, data.tenant, data.user_hash)
        place = (at, name, data.session_id)
        if may_be_retold(data):
            rows.append((*own, 0, *place, len(data.text)))
        if not turns[name].link and may_retell(data):
            rows.append((*own, 1, *place, told_length(data)))
    insert_rows(
        tx,
        "INSERT INTO retold (policy, tenant, user_hash, began, received, generation_id, session_id,"
        " length) VALUES ",
        sorted(rows),
        " ON CONFLICT DO NOTHING",
    )
    _keep_last(tx, sorted({row[:4] for row in rows}))


def _keep_last(tx: Transaction, owners: Iterable[tuple[str, str, str, int]]) -> None:
    where = "policy = ? AND tenant = ? AND user_hash = ? AND began = ?"
    tx.executemany(
        f"DELETE FROM retold WHERE {where} AND received < (SELECT MIN(received) FROM (SELECT received"
        f" FROM retold WHERE {where} ORDER BY received DESC LIMIT {KEPT}) AS kept)",
        [(*owner, *owner) for owner in owners],
    )


def forget_retold(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Forget which of these may be summaries."""
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT COALESCE(tenant, ''), user_hash, generation_id FROM episodes"
            f" WHERE policy = ? AND user_hash IS NOT NULL AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        tx.executemany(
            "DELETE FROM retold WHERE policy = ? AND tenant = ? AND user_hash = ?"
            " AND generation_id = ?",
            [(policy, *row) for row in rows],
        )
