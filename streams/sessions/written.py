"""Written: what a model wrote into the calls of an answer, and into those before it."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .contents import Held
from .link import GOES_ON, SUBAGENT
from .turn import Turn

MOST_EARLIER = 32
"""Answers before a call whose own calls are looked at."""


class _Call(msgspec.Struct):
    id: str = ""
    arguments: str = ""


class _Calls(msgspec.Struct):
    tool_calls: tuple[_Call, ...] = ()


class _Record(msgspec.Struct):
    """What of a record is needed here; the rest is not decoded."""

    data: _Calls


_DECODE = msgspec.json.Decoder(_Record).decode


class CallsWritten(NamedTuple):
    """The calls of an answer and of those before it, as far as their records are held."""

    own: Mapping[str, str]
    """Arguments of the answer's calls, by the call's id."""
    earlier: tuple[str, ...]
    """Arguments of the calls before, those of the nearest answer first."""
    answers: frozenset[str]
    """Digests of what the agents answered that the answer started."""


def calls_written(
    tx: Transaction, policy: str, turns: Mapping[str, Turn], new: Mapping[str, Held], name: str
) -> CallsWritten:
    """Return what was written into the calls of an answer and of those that it goes on from.

    `turns` are those of its session, and `new` the records that are in no table yet.
    """
    before, at = dict[str, None](), name
    while len(before) <= MOST_EARLIER and at in turns and at not in before:
        before[at] = None
        at = (turns[at].parent or "") if turns[at].link in GOES_ON else ""
    calls = _load(tx, policy, [one for one in before if one not in new])
    for one in before.keys() & new.keys():
        made = new[one].event.data.tool_calls
        calls[one] = [_Call(id=call.id, arguments=call.arguments) for call in made]
    return CallsWritten(
        {call.id: call.arguments for call in calls.get(name, ())},
        tuple(
            call.arguments for one in before if one != name for call in reversed(calls.get(one, ()))
        ),
        _answers(tx, policy, name),
    )


def _load(tx: Transaction, policy: str, ids: list[str]) -> dict[str, list[_Call]]:
    found = dict[str, list[_Call]]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT e.generation_id, c.payload FROM episodes e JOIN contents c ON c.id = e.content"
            f" WHERE e.policy = ? AND e.generation_id IN ({marks})",
            (policy, *chunk),
        )
        for name, payload in rows.fetchall():
            found[name] = list(_DECODE(payload).data.tool_calls)
    return found


def _answers(tx: Transaction, policy: str, name: str) -> frozenset[str]:
    """Return digests of what was said in the sessions that an answer started."""
    rows = tx.execute(
        "SELECT DISTINCT t.said FROM episodes e JOIN turns t ON t.policy = e.policy"
        " AND t.tenant = COALESCE(e.tenant, '') AND t.session_id = e.session_id"
        " WHERE e.policy = ? AND e.parent_id = ? AND e.link = ? AND t.said <> ''",
        (policy, name, SUBAGENT),
    )
    return frozenset(said for (said,) in rows.fetchall())
