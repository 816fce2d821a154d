"""Conversations: a poll's new turns find their places, and what they say of others becomes feedback."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from ..derived.derivation import DerivedSignal, derive_from_answer, derive_from_next
from ..events.event import FeedbackEvent, GenerationEvent
from ..events.generation import Generation
from ..log.ports import Partition, Record
from ..sessions import linking
from ..sessions.contents import Held
from ..sessions.history import answered_between
from ..sessions.link import GOES_ON
from ..sessions.linking import LinkedTurns
from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .arrival import Arrival
from .fate import WAITING, JoinSettings
from .offsets import Counts

MOST_FOLLOWING = 50
"""Turns that go on from one answer of which each says something of it: whoever asks for a thousand
other continuations of one answer has said enough."""


def link_conversations(
    tx: Transaction, policy: str, fresh: Sequence[Arrival], settings: JoinSettings
) -> tuple[LinkedTurns, list[Arrival]]:
    """Return where a poll's new generations lead, and the signals that follow; nothing is written."""
    first = dict[str, Arrival]()
    for arrival in fresh:
        # Of two of one name the first is kept: a turn of the other's session would have its record.
        first.setdefault(arrival.event.data.generation_id, arrival)
    arrived = {name: arrival for name, arrival in first.items() if arrival.fate == WAITING}
    new = {
        name: Held(arrival.event, arrival.received)
        for name, arrival in arrived.items()
        if isinstance(arrival.event, GenerationEvent)
    }
    found = linking.find(tx, policy, new)
    signals = list[Arrival]()
    for name, held in new.items():
        data = held.event.data
        if not (name in found.new or data.tool_calls or data.finish_reason == "abort"):
            continue
        own = derive_from_answer(data, leaving_interrupts=settings.leaving_interrupts)
        said = chain(own, _of_parent(found, held))
        signals += [_arrival(one, held, arrived[name].record) for one in said]
    places = _places(tx, policy, sorted(found.reread)) if found.reread else {}
    for name, held in found.reread.items():
        signals += [_arrival(one, held, places[name]) for one in _of_parent(found, held)]
    return found, signals


def _of_parent(found: LinkedTurns, held: Held) -> Iterator[DerivedSignal]:
    """Yield what a turn says of the one that it goes on from."""
    data = held.event.data
    if data.generation_id not in found.keys:
        return
    session = found.session(data.generation_id)
    turn = session[data.generation_id]
    parent = session.get(turn.parent or "")
    if parent is None or turn.link not in GOES_ON:
        return
    if answered_between(turn, parent, data.last_answer):
        return
    if sum(one.parent == parent.generation_id for one in session.values()) <= MOST_FOLLOWING:
        yield from derive_from_next(
            data, parent.generation_id, _tools(found, data, parent.generation_id)
        )


def _tools(found: LinkedTurns, data: Generation, parent_id: str) -> Mapping[str, str]:
    """Return the calls of the answer before, and the tool of each."""
    calls = found.calls.get(data.tenant, {})
    return {
        name: made.name
        for name, each in calls.items()
        for made in each
        if made.generation_id == parent_id
    }


def _arrival(derived: DerivedSignal, held: Held, record: Record) -> Arrival:
    """Return a derived signal as if it had arrived where the record stood that says so."""
    event = FeedbackEvent(
        id=derived.feedback.feedback_id,
        source="/derived",
        specversion="1.0",
        time=held.event.time,
        receivedtime=held.event.receivedtime,
        data=derived.feedback,
    )
    # It is no record: nothing counts it.
    at = held.received
    return Arrival(event, record, at, at, at, WAITING, Counts(), derived.origin)


def _places(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, Record]:
    """Return where the records of earlier turns stood."""
    found = dict[str, Record]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            'SELECT generation_id, topic, partition, "offset" FROM episodes'
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        for name, topic, partition, offset in rows.fetchall():
            at = Partition(topic=topic, index=partition)
            found[name] = Record(partition=at, offset=offset, key=b"", value=b"")
    return found


def write_conversations(
    tx: Transaction, policy: str, found: LinkedTurns, new: Mapping[str, Arrival]
) -> list[str]:
    """Write the turns of generations that were new, and what changed for earlier ones.

    Returns the answers that lost a signal, since the turn that said so goes on from another one.
    """
    data = {
        name: arrival.event.data
        for name, arrival in new.items()
        if isinstance(arrival.event, GenerationEvent) and arrival.fate == WAITING
    }
    linking.write(tx, policy, found, data)
    lost = [
        (parent, name)
        for name in found.reread
        if (parent := found.changed[name][1]) is not None and parent != _parent(found, name)
    ]
    tx.executemany(
        "DELETE FROM feedback WHERE policy = ? AND generation_id = ? AND origin = ?",
        [(policy, parent, name) for parent, name in lost],
    )
    return [parent for parent, _ in lost]


def _parent(found: LinkedTurns, name: str) -> str | None:
    key, _ = found.changed[name]
    return found.turns[key][name].parent
