"""Parents: the turn that another one goes on from. Pure: the same turns give the same parent.

The order in which turns came does not matter, so that a parent that comes late is found as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..events.generation import Generation
from .link import ANSWER, NAMED, SUBAGENT, TOKENS, TOOL_RESULT, Link
from .turn import TokenBytes, Turn, prefix_digests


class CalledBy(NamedTuple):
    """A tool call and the generation that made it."""

    generation_id: str
    """Which generation."""
    session_id: str
    """Its session."""
    name: str
    """Name of the tool."""


K = TypeVar("K")
Calls = Mapping[str, Sequence[CalledBy]]
"""Tool calls by their ids; engines may give one id twice."""


def find_parent(
    child: Generation,
    received: float,
    tokens: TokenBytes,
    turns: Mapping[str, Turn],
    calls: Calls,
) -> Link | None:
    """Return the turn of its session that a generation goes on from; None where none is known.

    What the product names is believed. Else it is the longest turn whose tokens the prompt continues,
    else the one whose tool call is answered, else the one that said the last answer in the request.
    Sampled tokens may read back as others: then an earlier turn's tokens are continued, and a longer
    one whose tool call is answered, or that said the last answer, is nearer.
    Of several alike it is one with an answer less before it, of those the same person's, and of those the
    last one received before: somebody may go back to an earlier question, and a product may have all of
    its people under one session's name, who begin alike.
    """

    def nearest(turns: Iterable[Turn]) -> Turn | None:
        return _nearest(child, received, turns)

    if child.parent_id and child.parent_id != child.generation_id:
        # A gateway's ids begin with their session: so it is known before the parent has come.
        here = child.parent_id in turns or child.parent_id.startswith(f"{child.session_id}.")
        return Link(child.parent_id, NAMED if here else SUBAGENT)
    if len(turns) > 1:
        others = [turn for turn in turns.values() if turn.generation_id != child.generation_id]
        best = nearest(_by_tokens(tokens, others))
        if best is not None:
            made = _by_results(child, turns, calls) if calls else []
            caller = nearest([one for one in made if one.length > best.length])
            if caller is not None and best not in made:
                return Link(caller.generation_id, TOOL_RESULT)
            nearer = nearest(_since(child, best, others))
            if nearer is not None:
                return Link(nearer.generation_id, ANSWER)
            return Link(best.generation_id, TOKENS)
        best = nearest(_by_results(child, turns, calls)) if calls else None
        if best is not None:
            return Link(best.generation_id, TOOL_RESULT)
        best = nearest(_by_answer(child, others)) if child.last_answer else None
        if best is not None:
            return Link(best.generation_id, ANSWER)
    return _by_call(child, calls) if calls else None


def _by_tokens(tokens: TokenBytes, others: Iterable[Turn]) -> list[Turn]:
    fitting = [turn for turn in others if turn.digest and 0 < turn.length <= tokens.prompt]
    if not fitting:
        return []
    digests = prefix_digests(tokens.raw, {turn.length for turn in fitting})
    found = [turn for turn in fitting if digests[turn.length] == turn.digest]
    longest = max((turn.length for turn in found), default=0)
    return [turn for turn in found if turn.length == longest]


def _by_results(child: Generation, turns: Mapping[str, Turn], calls: Calls) -> list[Turn]:
    ids = [one.tool_call_id for one in child.input if one.tool_call_id]
    made = [call.generation_id for name in ids for call in calls.get(name, ())]
    return [turns[name] for name in made if name in turns and name != child.generation_id]


def _by_answer(child: Generation, others: Iterable[Turn]) -> list[Turn]:
    return [turn for turn in others if turn.said == child.last_answer]


def _since(child: Generation, best: Turn, others: Iterable[Turn]) -> list[Turn]:
    """Return the turns after one whose tokens are continued that are nearer, by what they said."""
    if not child.last_answer or best.said == child.last_answer or child.earlier_answers < 1:
        return []
    return [
        turn
        for turn in _by_answer(child, others)
        if turn.earlier_answers == child.earlier_answers - 1 and turn.length > best.length
    ]


def _by_call(child: Generation, calls: Calls) -> Link | None:
    """Return the call that started the child's session: it is named, or the session is called so.

    Only the session's first request is linked so; the others go on from it.
    """
    if child.earlier_answers and not child.call_id:
        return None
    for name in (child.call_id, child.session_id):
        made = [call for call in calls.get(name or "", ()) if call.session_id != child.session_id]
        if made:
            return Link(max(call.generation_id for call in made), SUBAGENT)
    return None


def _nearest(child: Generation, received: float, turns: Iterable[Turn]) -> Turn | None:
    """Return the last one received before; clocks of gateways differ, so else the last one."""
    before = child.earlier_answers - 1
    return max(
        turns,
        key=lambda turn: (
            turn.earlier_answers == before >= 0,
            turn.user_hash == child.user_hash,
            turn.received <= received,
            turn.received,
            turn.generation_id,
        ),
        default=None,
    )


def reconsidered(
    turns: Mapping[K, Mapping[str, Turn]], came: Mapping[K, Sequence[str]]
) -> set[str]:
    """Return the earlier turns that may go on from one of those that came now, by session."""
    found = set[str]()
    for key, names in came.items():
        session = turns[key]
        if len(session) == len(names):
            continue
        for turn in session.values():
            if turn.generation_id in names or turn.earlier_answers == 0:
                continue
            before = session.get(turn.parent or "")
            for new in map(session.__getitem__, names):
                longer = (
                    turn.link != TOKENS
                    or before is None
                    or new.length > before.length
                    # As long, and the same person's, where the other one is not.
                    or turn.user_hash == new.user_hash != before.user_hash
                )
                early = new.received <= turn.received or 0 < new.length <= turn.prompt
                if turn.link == NAMED:
                    early = longer = turn.parent == new.generation_id
                if early and longer:
                    found.add(turn.generation_id)
    return found
