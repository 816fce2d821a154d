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


class Person(NamedTuple):
    """Whom an answer was given to."""

    tenant: str
    """Of which tenant."""
    user_hash: str
    """Who."""


class MayBe(NamedTuple):
    """An answer that may be retold, or a session that may retell one."""

    received: float
    """When it was received, epoch seconds."""
    generation_id: str
    """Which."""
    session_id: str
    """Its session."""
    length: int
    """Characters of the answer, or of what the turn was told."""


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


def person_of(generation: Generation) -> Person:
    """Return to whom a generation was given."""
    return Person(generation.tenant, generation.user_hash)


def answer_of(generation: Generation, received: float) -> MayBe:
    """Return an answer that may be retold as its row has it."""
    name, session = generation.generation_id, generation.session_id
    # As it is looked for: who retells it leaves out the line's end.
    return MayBe(received, name, session, len(generation.text.strip()))


def beginning_of(generation: Generation, received: float) -> MayBe:
    """Return the first turn of a session that may retell an answer as its row has it."""
    name, session = generation.generation_id, generation.session_id
    return MayBe(received, name, session, told_length(generation))


def may_tell(beginning: MayBe, answer: MayBe) -> bool:
    """Return whether a session may begin with an answer of another one, by time and length."""
    near = 0.0 <= beginning.received - answer.received <= KEPT_SECONDS
    return near and beginning.session_id != answer.session_id and answer.length <= beginning.length


Retold = dict[Person, list[MayBe]]
"""Answers, or beginnings of sessions, by person."""


def load_retold(tx: Transaction, policy: str, people: Iterable[Person], *, began: bool) -> Retold:
    """Return the last long answers to these people, or the sessions of theirs that may have begun with one."""
    found, by_tenant = defaultdict[Person, list[MayBe]](list), defaultdict[str, list[str]](list)
    for person in sorted(set(people)):
        by_tenant[person.tenant].append(person.user_hash)
    for tenant, hashes in by_tenant.items():
        for marks, chunk in by_ids(hashes):
            rows = tx.execute(
                "SELECT user_hash, received, generation_id, session_id, length FROM retold"
                f" WHERE policy = ? AND tenant = ? AND began = ? AND user_hash IN ({marks})",
                (policy, tenant, int(began), *chunk),
            )
            for user_hash, *row in rows.fetchall():
                found[Person(tenant, user_hash)].append(MayBe._make(row))
    return found


def put_retold(
    tx: Transaction, policy: str, new: Mapping[str, Generation], turns: Mapping[str, Turn]
) -> tuple[Retold, Retold]:
    """Write which new turns may be summaries, or may go on from one that has not come; return both."""
    answers = defaultdict[Person, list[MayBe]](list)
    beginnings = defaultdict[Person, list[MayBe]](list)
    for name, data in new.items():
        at, person = turns[name].received, person_of(data)
        if may_be_retold(data):
            answers[person].append(answer_of(data, at))
        if not turns[name].link and may_retell(data):
            beginnings[person].append(beginning_of(data, at))
    rows = [
        (policy, *person, began, *one)
        for began, found in enumerate((answers, beginnings))
        for person, each in found.items()
        for one in each
    ]
    insert_rows(
        tx,
        "INSERT INTO retold (policy, tenant, user_hash, began, received, generation_id, session_id,"
        " length) VALUES ",
        sorted(rows),
        " ON CONFLICT DO NOTHING",
    )
    _keep_last(tx, sorted({row[:4] for row in rows}))
    return answers, beginnings


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
