"""Descendants: the turns whose prompts hold what an earlier one said or was told."""

from collections.abc import Sequence

from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .contents import followers
from .link import SUBAGENT
from .turns_table import SessionKey, load_turns


def descendants(tx: Transaction, policy: str, ids: Sequence[str]) -> list[str]:
    """Return all turns that go on from these, or from one that does; these themselves are left out."""
    found, ahead = set(ids), set(ids)
    children = _children(tx, policy, ids)
    while ahead:
        ahead = set(followers(tx, policy, sorted(ahead))).union(
            *(children.get(name, ()) for name in ahead)
        )
        ahead -= found
        found |= ahead
    return sorted(found - set(ids))


def _children(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, set[str]]:
    """Return by parent the turns in the sessions of these that are linked to it."""
    sessions = set[SessionKey]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT DISTINCT COALESCE(tenant, ''), session_id FROM episodes"
            f" WHERE policy = ? AND session_id IS NOT NULL AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        sessions.update(SessionKey(*row) for row in rows.fetchall())
    found = dict[str, set[str]]()
    for turns in load_turns(tx, policy, sessions).values():
        for turn in turns.values():
            if turn.parent is not None and turn.link != SUBAGENT:
                found.setdefault(turn.parent, set()).add(turn.generation_id)
    return found
