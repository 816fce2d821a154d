"""Late beginnings: sessions that began by an answer which is read only after their first turn.

Sessions stand on partitions of their own, so a subagent's turn may be read before the call that started
it, and one that goes on from a summary before the summary. On a server two processes may even take both in
at the same moment: then neither sees the other, and each looks once more with its next poll. Whichever
committed last sees the other's by then. Where that one ends before its next poll, a subagent is looked for
once more with its next turn; what may go on from a summary is not, which would be every long session.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..events.generation import Generation
from ..state.transaction import Transaction, is_shared
from . import turns_table
from .contents import Held
from .parents import Calls
from .retold import (
    MayBe,
    Person,
    Retold,
    answer_of,
    load_retold,
    may_be_retold,
    may_tell,
    person_of,
)
from .turn import Turn
from .turns_table import SessionKey, session_of

K = TypeVar("K")
T = TypeVar("T")
Turns = dict[SessionKey, dict[str, Turn]]
"""Turns by session and id."""


class Unmet(NamedTuple):
    """What may have missed one another: what a poll's turns may have begun, and sessions that began alone."""

    made: Mapping[str, Sequence[str]]
    """By tenant, ids of the calls that the turns made."""
    begun: Mapping[str, Sequence[tuple[str, str]]]
    """By tenant, ids of calls that nobody is known to have made, each with the session that it may have begun."""
    answers: Retold
    """Answers that may be the summary that a session began with."""
    beginnings: Retold
    """First turns that may have begun with the summary of another session."""

    def beside(self, other: "Unmet") -> "Unmet":
        """Return what is in either, once."""
        return Unmet(
            _both(self.made, other.made),
            _both(self.begun, other.begun),
            _both(self.answers, other.answers),
            _both(self.beginnings, other.beginnings),
        )


def _both(one: Mapping[K, Sequence[T]], other: Mapping[K, Sequence[T]]) -> dict[K, list[T]]:
    keys = dict.fromkeys([*one, *other])
    return {at: list(dict.fromkeys([*one.get(at, ()), *other.get(at, ())])) for at in keys}


ALL_MET = Unmet({}, {}, {}, {})


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
    turns: Iterable[Generation],
    alone: Iterable[Generation],
    retold: tuple[Retold, Retold],
) -> Unmet:
    """Return what to look for once more after new turns, of which some are `alone`, without a parent.

    `retold` is what `put_retold` returned of them. Nothing where only one process writes at a time.
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
    return Unmet({tenant: ids for tenant, ids in made.items() if ids}, begun, *retold)


def begun_late(
    tx: Transaction,
    policy: str,
    new: Mapping[str, Held],
    turns: Turns,
    calls: Mapping[str, Calls],
    before: Unmet,
) -> set[str]:
    """Return the first turns of sessions that may have begun by what is known only now, and look these up.

    Of a subagent's the call, of one that goes on from a summary the answer that is it. `calls` are those
    that new turns speak of, `before` is what the poll before left.
    """
    keys = _called_since(tx, policy, before)
    made = defaultdict[str, list[str]](list)
    told = defaultdict[Person, list[MayBe]](list)
    told |= {person: list(answers) for person, answers in before.answers.items()}
    for held in new.values():
        data = held.event.data
        made[data.tenant] += [call.id for call in data.tool_calls if call.id]
        if may_be_retold(data):
            told[person_of(data)].append(answer_of(data, held.received))
    keys |= _went_on(tx, policy, told, before.beginnings)
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


def _called_since(tx: Transaction, policy: str, before: Unmet) -> set[SessionKey]:
    """Return the sessions that began for a call which another process took in at the same moment."""
    keys = turns_table.load_awaiting(tx, policy, before.made)
    wanted = {tenant: [call for call, _ in pairs] for tenant, pairs in before.begun.items()}
    calls = turns_table.load_calls(tx, policy, wanted)
    return keys | {
        SessionKey(tenant, session)
        for tenant, pairs in before.begun.items()
        for call, session in pairs
        if any(one.session_id != session for one in calls.get(tenant, {}).get(call, ()))
    }


def _went_on(tx: Transaction, policy: str, answers: Retold, beginnings: Retold) -> set[SessionKey]:
    """Return the sessions that may have begun with one of these answers, and those of these that may with any."""
    began = load_retold(tx, policy, answers, began=True)
    told = load_retold(tx, policy, beginnings, began=False)
    pairs = [(person, answers[person], began.get(person, [])) for person in answers]
    pairs += [(person, told.get(person, []), beginnings[person]) for person in beginnings]
    return {
        SessionKey(person.tenant, beginning.session_id)
        for person, said, begun in pairs
        for beginning in begun
        if any(may_tell(beginning, answer) for answer in said)
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
