"""Session turns: which turns of a conversation another variant or version was on before.

What such a turn is worth says nothing of the variant that wrote it: it goes on from what the other
one wrote. It counts for neither variant of a comparison. Whether a session was moved is read from the
flag's choice and not from what answered, so that candidate and control lose the same sessions: those
that began before their users were drawn.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from ..events.generation import SHADOW, Generation
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction

SESSION_TURNS = """
CREATE TABLE session_turns (
    policy TEXT NOT NULL, session BLOB NOT NULL, arm TEXT NOT NULL, version TEXT NOT NULL,
    last REAL NOT NULL, moved REAL, switched REAL,
    PRIMARY KEY (policy, session));
CREATE INDEX session_turns_last ON session_turns (policy, last);
ALTER TABLE episodes ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN assigned REAL
"""
"""A session with its last turn's salt and variant, and version; `moved` is when it was last on another
salt or variant, `switched` when the version last changed under it. Of an answer, `moved` is 1 where its
session was so within a day, and `assigned` when the request came."""

REMEMBERED_SECONDS = 86_400.0
"""A turn so long ago is no part of a conversation."""
WRITTEN_SECONDS = 600.0
"""A turn like the one before is written down after so long: most turns cost no write."""


class SessionShare(NamedTuple):
    """How many conversations had their version changed under them."""

    seen: int
    """Sessions with a turn within a day of the newest one."""
    switched: int
    """Of these, the ones in which the version changed from one turn to the next in that day."""


class _Row(NamedTuple):
    arm: str
    version: str
    last: float
    moved: float | None
    switched: float | None


def note_turns(tx: Transaction, policy: str, turns: Sequence[tuple[Generation, float]]) -> set[str]:
    """Write down new turns with their receive times, in the log's order; return the moved ones' ids."""
    said = [(_session(turn), turn, at) for turn, at in turns if _is_turn(turn)]
    rows = _load(tx, policy, sorted({session for session, _, _ in said}))
    moved, changed = set[str](), set[bytes]()
    for session, turn, at in said:
        before = rows.get(session)
        row = _after(before, turn, at)
        if row is not before:
            rows[session] = row
            changed.add(session)
        if row.moved is not None and at - row.moved < REMEMBERED_SECONDS:
            moved.add(turn.generation_id)
    insert_rows(
        tx,
        "INSERT INTO session_turns (policy, session, arm, version, last, moved, switched) VALUES ",
        # In one order, so that two transactions never wait for each other in a circle.
        [(policy, session, *rows[session]) for session in sorted(changed)],
        " ON CONFLICT (policy, session) DO UPDATE SET arm = excluded.arm, version = excluded.version,"
        " last = excluded.last, moved = excluded.moved, switched = excluded.switched",
    )
    return moved


def session_share(view: Transaction, policy: str) -> SessionShare:
    """Return how many of the day's conversations had their version changed under them."""
    newest = "(SELECT MAX(last) FROM session_turns WHERE policy = ?)"
    row = view.execute(
        f"SELECT COUNT(*), COUNT(CASE WHEN switched > {newest} - ? THEN 1 END) FROM session_turns"
        f" WHERE policy = ? AND last > {newest} - ?",
        (policy, REMEMBERED_SECONDS, policy, policy, REMEMBERED_SECONDS),
    ).fetchone()
    return SessionShare(*row)


def forget_sessions(tx: Transaction, policy: str, before: float) -> None:
    """Forget sessions that had no turn since then."""
    tx.execute("DELETE FROM session_turns WHERE policy = ? AND last < ?", (policy, before))


def _is_turn(generation: Generation) -> bool:
    """Return whether people saw it as a part of a session that can have others."""
    shown = generation.variant not in ("", SHADOW) and not generation.side_request
    return shown and generation.session_found != "chance"


def _session(generation: Generation) -> bytes:
    # With the user, for where a product calls everybody's session alike.
    named = f"{generation.tenant} {generation.user_hash} {generation.session_id}"
    return hashlib.blake2b(named.encode(), digest_size=16).digest()


def _load(tx: Transaction, policy: str, sessions: Sequence[bytes]) -> dict[bytes, _Row]:
    found: dict[bytes, _Row] = {}
    for marks, chunk in by_ids(sessions):
        rows = tx.execute(
            "SELECT session, arm, version, last, moved, switched FROM session_turns"
            f" WHERE policy = ? AND session IN ({marks})",
            (policy, *chunk),
        )
        found |= {bytes(session): _Row(*row) for session, *row in rows.fetchall()}
    return found


def _after(before: _Row | None, turn: Generation, at: float) -> _Row:
    """Return a session's row after a turn."""
    arm = f"{turn.salt} {turn.variant}"
    if before is None or at - before.last >= REMEMBERED_SECONDS or _begins(turn):
        return _Row(arm, turn.version, at, None, None)
    alike = before.arm == arm and before.version == turn.version
    if alike and at - before.last < WRITTEN_SECONDS:
        return before
    return _Row(
        arm=arm,
        version=turn.version,
        last=max(at, before.last),
        moved=before.moved if before.arm == arm else before.last,
        switched=before.switched if before.version == turn.version else at,
    )


def _begins(turn: Generation) -> bool:
    """Return whether a request shows by itself that nothing was answered before it."""
    return bool(turn.input) and not turn.earlier_answers and turn.parent_id is None
