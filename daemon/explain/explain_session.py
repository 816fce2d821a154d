"""Explain session: where a generation stands in its conversation, for `rlwd explain`."""

from typing import Any, NamedTuple

from ...streams.sessions.link import SUBAGENT
from ...streams.sessions.turn import Turn
from ...streams.sessions.turns_table import SessionKey, load_turns
from ...streams.state.transaction import Transaction


class SessionPlace(NamedTuple):
    """What the row of an episode says of its session."""

    tenant: str | None
    """To whom it was served."""
    session_id: str | None
    """Its session; None where it came before sessions were kept."""
    parent_id: str | None
    """The generation that it goes on from."""
    link: str
    """By which rule."""
    history: str
    """Who wrote what stands before it."""


def explain_session(
    view: Transaction, policy: str, generation_id: str, place: SessionPlace
) -> dict[str, Any]:
    """Return a generation's session, its parent and by which rule, and what goes on from it.

    `turns` are those of the session that are still known, in the order of their times; `subagents`
    are other sessions that one of them started.
    """
    session = place.session_id
    key = SessionKey(place.tenant or "", session or "")
    turns = {} if session is None else load_turns(view, policy, [key]).get(key, {})
    ordered = sorted(turns.values(), key=lambda turn: (turn.received, turn.generation_id))
    return {
        "id": session,
        "parent": place.parent_id,
        "link": place.link or None,
        "history": place.history or None,
        "continued_by": [_told(turn) for turn in ordered if turn.parent == generation_id],
        "subagents": _subagents(view, policy, generation_id),
        "turns": [turn.generation_id for turn in ordered],
    }


def _told(turn: Turn) -> dict[str, Any]:
    return {"generation_id": turn.generation_id, "link": turn.link, "version": turn.version}


def _subagents(view: Transaction, policy: str, generation_id: str) -> list[dict[str, Any]]:
    rows = view.execute(
        "SELECT generation_id, session_id FROM episodes"
        # As the index of what was started says it: without these words all rows would be read.
        " WHERE policy = ? AND parent_id = ? AND link IN ('subagent', 'summary') AND link = ?"
        " ORDER BY received, generation_id",
        (policy, generation_id, SUBAGENT),
    ).fetchall()
    return [{"generation_id": name, "session": session} for name, session in rows]
