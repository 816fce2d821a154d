"""Late beginnings: sessions that began by an answer which is read only after their first turn.

Sessions stand on partitions of their own, so a subagent's turn may be read before the call that started
it, and one that goes on from a summary before the summary. On a server two processes may even take both in
at the same moment: then neither sees the other, and each looks once more with its next poll. Whichever
committed last sees the other's by then.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..events.generation import Generation
from ..state.transaction import Transaction, is_shared
from . import turns_table
from .contents import Held
from .parents import Calls
from .retold import OfPerson, Owner, load_people, may_be_retold, may_retell, owner_of
from .turn import Turn
from .turns_table import SessionKey, session_of

T = TypeVar("T")
Turns = dict[SessionKey, dict[str, Turn]]
"""Turns by session and id."""


class Unmet(NamedTuple):
    """What may have missed one another: calls of a poll's turns, and sessions that a call may have begun."""

    made: Mapping[str, Sequence[str]]
    """By tenant, ids of the calls that the turns made."""
    begun: Mapping[str, Sequence[tuple[str, str]]]
    """By tenant, ids of calls that nobody is known to have made, each with the session that it may have begun."""

    people: Mapping[Owner, frozenset[str]]
    """Of people who may have gone on from a summary, or said one: which answers and sessions of theirs were seen."""

    def beside(self, other: "Unmet") -> "Unmet":
        """Return what is in either, once."""
        mine, others = self.made, other.made
        made = {at: _both(mine.get(at, ()), others.get(at, ())) for at in {*mine, *others}}
        own, theirs = self.begun, other.begun
        begun = {at: _both(own.get(at, ()), theirs.get(at, ())) for at in {*own, *theirs}}
        # What the later of two saw the earlier may have missed.
        return Unmet(made, begun, {**other.people, **self.people})


def _both(one: Sequence[T], other: Sequence[T]) -> list[T]:
    return list(dict.fromkeys([*one, *other]))


ALL_MET = Unmet({}, {}, {})


class Meetings:
    """What one process's last poll may have missed of another's, until it has looked once more."""

    def __init__(self) -> None:
        self.before = self._now = ALL_MET

    def leave(self, unmet: Unmet) -> None:
        """Take what the next poll is to look for, if this one is committed.

        It may be where nobody says so: a connection that breaks then takes the answer with it.
        """
        self._now = self._now.beside(unmet)

    def committed(self) -> None:
        """Go on to the next poll."""
        self.before, self._now = self._now, ALL_MET


def unmet(
    tx: Transaction,
    turns: Collection[Generation],
    alone: Iterable[Generation],
    seen: Mapping[Owner, Iterable[OfPerson]],
) -> Unmet:
    """Return what to look for once more after new turns, of which some are `alone`, without a parent.

    `seen` is what was known of their people before they were looked at. Nothing where only one process
    writes at a time.
    """
    if not is_shared(tx):
        return ALL_MET
    made = defaultdict[str, list[str]](list)
    begun = defaultdict[str, list[tuple[str, str]]](list)
    for one in turns:
        made[one.tenant] += [call.id for call in one.tool_calls if call.id]
    for one in alone:
        if one.call_id or not one.earlier_answers:
            ids = filter(None, (one.call_id, one.session_id))
            begun[one.tenant] += [(name, one.session_id) for name in ids]
    people = {owner: {one.generation_id for one in known} for owner, known in seen.items()}
    for one in turns:
        if (owner := owner_of(one)) in people:
            people[owner].add(one.generation_id)
    return Unmet(
        {tenant: ids for tenant, ids in made.items() if ids},
        begun,
        {owner: frozenset(known) for owner, known in people.items()},
    )


def people_of(tx: Transaction, policy: str, new: Iterable[Held]) -> dict[Owner, Sequence[OfPerson]]:
    """Return what is known of those whose new answers may be summaries, or go on from one."""
    told = [held.event.data for held in new]
    owners = {owner_of(one) for one in told if may_be_retold(one) or may_retell(one)}
    found = load_people(tx, policy, owners)
    return {owner: found.get(owner, ()) for owner in owners}


def begun_late(
    tx: Transaction,
    policy: str,
    new: Mapping[str, Held],
    turns: Turns,
    calls: Mapping[str, Calls],
    people: Mapping[Owner, Sequence[OfPerson]],
    before: Unmet,
) -> set[str]:
    """Return the first turns of sessions that may have begun by what is known only now, and look these up.

    Of a subagent's the call, of one that goes on from a summary the answer that is it. `calls` are those
    that new turns speak of, `people` as `people_of` says, `before` is what the poll before left.
    """
    keys = _met_since(tx, policy, before)
    made = defaultdict[str, list[str]](list)
    for held in new.values():
        data = held.event.data
        made[data.tenant] += [call.id for call in data.tool_calls if call.id]
        if may_be_retold(data):
            answer = OfPerson(False, held.received, data.generation_id, data.session_id)
            keys |= {
                SessionKey(data.tenant, one.session_id)
                for one in people[owner_of(data)]
                if one.may_retell(answer)
            }
    keys |= turns_table.load_awaiting(tx, policy, made)
    for key, known in turns_table.load_turns(tx, policy, keys - turns.keys()).items():
        turns[key] = known
    keys |= set(_begun_unseen(new, calls))
    return {
        name
        for key in keys
        for name, turn in turns.get(key, {}).items()
        if not turn.link and name not in new
    }


def _met_since(tx: Transaction, policy: str, before: Unmet) -> set[SessionKey]:
    """Return the sessions that began for a call, or may have begun from a summary, which another process took in
    at the same moment.
    """
    keys = turns_table.load_awaiting(tx, policy, before.made)
    wanted = {tenant: [call for call, _ in pairs] for tenant, pairs in before.begun.items()}
    calls = turns_table.load_calls(tx, policy, wanted)
    for owner, known in load_people(tx, policy, before.people).items():
        seen = before.people[owner]
        fresh = {one.generation_id for one in known} - seen
        keys |= {
            SessionKey(owner.tenant, one.session_id)
            for one in known
            for answer in (known if fresh else ())
            if one.may_retell(answer) and fresh & {one.generation_id, answer.generation_id}
        }
    return keys | {
        SessionKey(tenant, session)
        for tenant, pairs in before.begun.items()
        for call, session in pairs
        if any(one.session_id != session for one in calls.get(tenant, {}).get(call, ()))
    }


def _begun_unseen(new: Mapping[str, Held], calls: Mapping[str, Calls]) -> Iterator[SessionKey]:
    """Yield sessions that go on now, and whose call is known only since they came.

    As it may be where a process ended before it could look once more.
    """
    for held in new.values():
        data = held.event.data
        made = calls.get(data.tenant, {}).get(data.call_id or data.session_id, ())
        if any(call.session_id != data.session_id for call in made):
            yield session_of(data)
