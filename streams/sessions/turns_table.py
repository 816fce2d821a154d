"""Turns: what each session knows of its last generations, to find the parents of the next ones.

A row lies beside those of its session, so that one look finds them all. Of a session of many turns the
last `TURNS_KEPT` are known; where each one leads is in the row of its episode for ever.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..events.generation import Generation
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction
from .parents import CalledBy
from .retold import forget_retold
from .turn import Turn

TURNS_KEPT = 256
"""Turns of one session among which a parent is looked for. A client may call all its traffic one
session, and then its parents are not found: none of it fails, and nothing becomes slower."""

TURNS = """
CREATE TABLE turns (
    policy TEXT NOT NULL, tenant TEXT NOT NULL, session_id TEXT NOT NULL,
    generation_id TEXT NOT NULL, received REAL NOT NULL, version TEXT NOT NULL,
    prompt INTEGER NOT NULL, length INTEGER NOT NULL, digest BLOB NOT NULL,
    said TEXT NOT NULL, earlier_answers INTEGER NOT NULL,
    parent TEXT, link TEXT NOT NULL, wrote TEXT NOT NULL,
    PRIMARY KEY (policy, tenant, session_id, generation_id)) /* WITHOUT ROWID */;
CREATE TABLE made_calls (
    policy TEXT NOT NULL, tenant TEXT NOT NULL, call_id TEXT NOT NULL,
    generation_id TEXT NOT NULL, session_id TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (policy, tenant, call_id, generation_id)) /* WITHOUT ROWID */;
CREATE INDEX made_calls_generation ON made_calls (policy, generation_id);
ALTER TABLE episodes ADD COLUMN session_id TEXT;
ALTER TABLE episodes ADD COLUMN parent_id TEXT;
ALTER TABLE episodes ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE episodes ADD COLUMN history TEXT NOT NULL DEFAULT ''
"""
"""`link` is a rule of `link.py`, `history` a tag of `history.py`."""

AWAITED = "ALTER TABLE made_calls ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0"
"""1 where `generation_id` did not make the call but works for it, and who made it had not come."""
READ = "ALTER TABLE turns ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0"
"""As in `turn.py`; of turns from before nothing is known to be redacted."""
PEOPLE = "ALTER TABLE turns ADD COLUMN user_hash TEXT NOT NULL DEFAULT ''"
"""To whom the answer was given: many people may be under one session's name."""

_COLUMNS = ", ".join(Turn._fields)


class SessionKey(NamedTuple):
    """One session: names of one tenant are not those of another."""

    tenant: str
    """To whom it was served."""
    session_id: str
    """Its name."""


def session_of(generation: Generation) -> SessionKey:
    """Return the session of a generation."""
    return SessionKey(generation.tenant, generation.session_id)


def load_turns(
    tx: Transaction, policy: str, sessions: Iterable[SessionKey]
) -> dict[SessionKey, dict[str, Turn]]:
    """Return the turns of these sessions by id."""
    found = defaultdict[SessionKey, dict[str, Turn]](dict)
    by_tenant = defaultdict[str, list[str]](list)
    for key in sessions:
        by_tenant[key.tenant].append(key.session_id)
    for tenant, names in by_tenant.items():
        for marks, chunk in by_ids(names):
            rows = tx.execute(
                f"SELECT session_id, {_COLUMNS} FROM turns"
                f" WHERE policy = ? AND tenant = ? AND session_id IN ({marks})",
                (policy, tenant, *chunk),
            )
            for session, *row in rows.fetchall():
                found[SessionKey(tenant, session)][row[0]] = Turn(*row)
    return found


def keep_last(tx: Transaction, policy: str, sessions: Mapping[SessionKey, dict[str, Turn]]) -> None:
    """Forget all turns of these sessions but the last `TURNS_KEPT`."""
    for key, turns in sessions.items():
        if len(turns) > TURNS_KEPT:
            oldest = sorted(turns.values(), key=lambda turn: (turn.received, turn.generation_id))
            beyond = [turn.generation_id for turn in oldest[:-TURNS_KEPT]]
            _forget(tx, policy, dict.fromkeys(beyond, key))
            for name in beyond:
                del turns[name]


def put_turns(tx: Transaction, policy: str, turns: Iterable[tuple[SessionKey, Turn]]) -> None:
    """Write turns, or write them anew."""
    rows = [(policy, *key, *turn) for key, turn in turns]
    insert_rows(
        tx,
        f"INSERT INTO turns (policy, tenant, session_id, {_COLUMNS}) VALUES ",
        rows,
        " ON CONFLICT (policy, tenant, session_id, generation_id) DO UPDATE SET"
        " parent = excluded.parent, link = excluded.link, wrote = excluded.wrote,"
        " redacted = excluded.redacted, length = excluded.length, digest = excluded.digest",
    )


def put_calls(tx: Transaction, policy: str, generations: Iterable[Generation]) -> None:
    """Write which generations made which tool calls."""
    rows = dict.fromkeys(
        (policy, one.tenant, call.id, one.generation_id, one.session_id, call.name)
        for one in generations
        for call in one.tool_calls
        if call.id
    )
    insert_rows(
        tx,
        "INSERT INTO made_calls (policy, tenant, call_id, generation_id, session_id, name) VALUES ",
        list(rows),
        " ON CONFLICT DO NOTHING",
    )


def load_calls(
    tx: Transaction, policy: str, wanted: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[CalledBy]]]:
    """Return, by tenant and call id, which generations made these calls."""
    found = defaultdict[str, dict[str, list[CalledBy]]](dict)
    for tenant, names in wanted.items():
        for marks, chunk in by_ids(sorted(set(names))):
            rows = tx.execute(
                "SELECT call_id, generation_id, session_id, name FROM made_calls"
                f" WHERE policy = ? AND tenant = ? AND call_id IN ({marks}) AND awaited = 0",
                (policy, tenant, *chunk),
            )
            for call_id, *made in rows.fetchall():
                found[tenant].setdefault(call_id, []).append(CalledBy._make(made))
    return found


def put_awaited(tx: Transaction, policy: str, generations: Iterable[Generation]) -> None:
    """Write which generations work for tool calls that nobody is known to have made."""
    insert_rows(
        tx,
        "INSERT INTO made_calls"
        " (policy, tenant, call_id, generation_id, session_id, name, awaited) VALUES ",
        [
            (policy, one.tenant, one.call_id, one.generation_id, one.session_id, "", 1)
            for one in generations
            if one.call_id
        ],
        " ON CONFLICT DO NOTHING",
    )


def load_awaiting(
    tx: Transaction, policy: str, made: Mapping[str, Sequence[str]]
) -> set[SessionKey]:
    """Return the sessions that began for these tool calls, by tenant, before the calls were known.

    They are named after the call, or said for which call they are.
    """
    found = set[SessionKey]()
    for tenant, names in made.items():
        for marks, chunk in by_ids(sorted(set(names))):
            for table, column, more in (
                ("turns", "session_id", "link = ''"),
                ("made_calls", "call_id", "awaited = 1"),
            ):
                rows = tx.execute(
                    f"SELECT DISTINCT session_id FROM {table}"
                    f" WHERE policy = ? AND tenant = ? AND {column} IN ({marks}) AND {more}",
                    (policy, tenant, *chunk),
                )
                found.update(SessionKey(tenant, session) for (session,) in rows.fetchall())
    return found


def forget_turns(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Forget what the sessions of these generations know of them: digests are of what was said."""
    forget_retold(tx, policy, ids)
    found = dict[str, SessionKey]()
    for marks, chunk in by_ids(ids):
        tx.execute(
            f"DELETE FROM made_calls WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        rows = tx.execute(
            "SELECT generation_id, COALESCE(tenant, ''), session_id FROM episodes"
            f" WHERE policy = ? AND session_id IS NOT NULL AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        found.update((name, SessionKey(tenant, at)) for name, tenant, at in rows.fetchall())
    _forget(tx, policy, found)


def _forget(tx: Transaction, policy: str, turns: Mapping[str, SessionKey]) -> None:
    tx.executemany(
        "DELETE FROM turns WHERE policy = ? AND tenant = ? AND session_id = ?"
        " AND generation_id = ?",
        [(policy, *key, name) for name, key in turns.items()],
    )
