"""Conversations: a poll's new turns find their places, and what they say of others becomes feedback."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from ..attribution import attributing
from ..attribution.attributing import Lost, Reaching
from ..attribution.chain import ChainKey
from ..attribution.chain_table import ChainRow
from ..attribution.said_of_answers import SaidOfAnswers
from ..derived.derivation import DerivedSignal
from ..derived.provoked import EXCUSES
from ..derived.tool_results import error_of
from ..events.event import FeedbackEvent, GenerationEvent
from ..events.scored import Score
from ..events.signals import kind_of
from ..log.ports import Partition, Record
from ..sessions import linking
from ..sessions.contents import Held
from ..sessions.late_beginnings import Meetings
from ..sessions.linking import LinkedTurns
from ..sessions.spelled import forget_tokens
from ..state.bulk import by_ids
from ..state.transaction import Transaction
from .arrival import Arrival, OnChains
from .dead_letters import bury_on_chain
from .fate import REDACTED, WAITING, JoinSettings
from .offsets import Counts

DEFAULT_TENANT = "default"
"""Whom feedback on a session or a reference is of that names no tenant: as requests are."""


def link_conversations(
    tx: Transaction,
    policy: str,
    fresh: Sequence[Arrival],
    new: Mapping[str, Held],
    settings: JoinSettings,
    meetings: Meetings,
) -> tuple[LinkedTurns, list[Arrival]]:
    """Return where a poll's new generations lead, and the signals that follow; nothing is written.

    `new` are those of them that wait for a decision (`held_arrivals`).
    """
    arrived = _first_of_each(fresh)
    found = linking.find(tx, policy, new, meetings.before)
    said = SaidOfAnswers(tx, policy, found, new)
    signals = [
        _arrival(one, held, arrived[name].record)
        for name, held in new.items()
        for one in said.by_new(held, leaving_interrupts=settings.leaving_interrupts)
    ]
    places = _places(tx, policy, sorted(found.reread)) if found.reread else {}
    signals += [
        _arrival(one, held, places[name])
        for name, held in found.reread.items()
        for one in said.by_reread(held)
    ]
    return found, signals


def held_arrivals(fresh: Sequence[Arrival]) -> dict[str, Held]:
    """Return the generations that wait for a decision."""
    return {
        name: Held(arrival.event, arrival.received, unread=arrival.unread)
        for name, arrival in _first_of_each(fresh).items()
        if arrival.fate == WAITING and isinstance(arrival.event, GenerationEvent)
    }


def _first_of_each(fresh: Sequence[Arrival]) -> dict[str, Arrival]:
    """Return the generations by id; of two of one name the first is kept, and the other is no turn."""
    first = dict[str, Arrival]()
    for arrival in fresh:
        first.setdefault(arrival.event.data.generation_id, arrival)
    return first


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
    return Arrival(event, record, at, at, at, WAITING, Counts(), origin=derived.origin)


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
    tx: Transaction,
    policy: str,
    found: LinkedTurns,
    new: Mapping[str, Arrival],
    meetings: Meetings,
) -> None:
    """Write the turns of generations that were new, and what changed for earlier ones."""
    data = {
        name: arrival.event.data
        for name, arrival in new.items()
        if isinstance(arrival.event, GenerationEvent) and arrival.fate == WAITING
    }
    meetings.leave(linking.write(tx, policy, found, data))
    forget_tokens(tx, policy, sorted(found.spelled - new.keys()), REDACTED)
    lost = _lost(found)
    tx.executemany(
        "DELETE FROM feedback WHERE policy = ? AND generation_id = ? AND origin = ?",
        [(policy, parent, name) for parent, name in lost],
    )


def otherwise_seen(found: LinkedTurns) -> set[str]:
    """Return the earlier answers of which a poll says something else, though nothing new came on them.

    Those that lost a signal, since the turn that said so goes on from another one; and those whose
    parent came late and that had to answer on an error of a tool: only now it is known who wrote it.
    """
    told = {
        name
        for name, held in found.reread.items()
        if any(error_of(message) in EXCUSES for message in held.event.data.input)
    }
    return told.union(parent for parent, _ in _lost(found))


def _lost(found: LinkedTurns) -> list[tuple[str, str]]:
    """Return the answers that lost a signal, each with the turn that said so."""
    lost = []
    for name in found.reread:
        key, parent = found.changed[name]
        if parent is not None and parent != found.turns[key][name].parent:
            lost.append((parent, name))
    return lost


def attribute_feedback(
    tx: Transaction,
    policy: str,
    came: Sequence[Arrival],
    new: Mapping[str, Held],
    found: LinkedTurns,
    score: Score,
    cap: int,
    now: float,
) -> OnChains:
    """Take in feedback on sessions and references, and find which answers they and earlier ones reach."""
    first = dict[tuple[ChainKey, str], Arrival]()
    for arrival in came:
        first.setdefault(_chain_of(arrival), arrival)
    rows = [_chain_row(key, arrival) for key, arrival in first.items()]
    done = attributing.attribute(tx, policy, rows, new, found, score.attribution, cap)
    refused = {(row.chain, row.feedback_id): row for row in done.refused}
    for row in done.refused:
        reason = f"too_much_feedback: {row.chain} has {cap} of kind {row.kind} already"
        bury_on_chain(tx, policy, row, reason, now)
    return OnChains(
        taken=[first[key] for key in done.new if key not in refused],
        refused=[first[key] for key in done.new if key in refused],
        refused_before=[row.partition for key, row in refused.items() if key not in done.new],
        reaching=[named_by_chain(one) for one in done.reaching],
        lost=done.lost,
    )


def take_from_answers(tx: Transaction, policy: str, lost: Iterable[Lost]) -> None:
    """Take from answers what feedback on a chain does not say of them any more."""
    gone = [(policy, *one) for one in lost]
    tx.executemany(
        "DELETE FROM feedback"
        " WHERE policy = ? AND generation_id = ? AND feedback_id = ? AND tenant = ?",
        gone,
    )
    # Numbers among it are written again from what is left.
    tx.executemany(
        "UPDATE own_numbers SET later = NULL WHERE policy = ? AND generation_id = ?",
        [each[:2] for each in gone],
    )


def _chain_of(arrival: Arrival) -> tuple[ChainKey, str]:
    assert isinstance(arrival.event, FeedbackEvent)
    said = arrival.event.data
    key, value = "", said.session_id
    if said.reference is not None:
        key, value = said.reference.key, said.reference.value
    # Who names no tenant is of the one that requests without a tenant are of.
    return ChainKey(said.tenant or DEFAULT_TENANT, key, value), said.feedback_id


def _chain_row(key: tuple[ChainKey, str], arrival: Arrival) -> ChainRow:
    assert isinstance(arrival.event, FeedbackEvent)
    said = arrival.event.data
    return ChainRow(
        chain=key[0],
        feedback_id=said.feedback_id,
        user_hash=said.user_hash,
        kind=kind_of(said.signal),
        replaces=said.replaces,
        acted=arrival.event.time.timestamp(),
        received=arrival.received,
        due=arrival.due,
        payload=msgspec.json.encode(said),
        partition=arrival.record.partition,
        offset=arrival.record.offset,
    )


def named_by_chain(one: Reaching) -> Arrival:
    """Return feedback on a chain as if it had named the answer, where its record stood."""
    row = one.row
    event = FeedbackEvent(
        id=one.feedback.feedback_id,
        source="/attributed",
        specversion="1.0",
        time=datetime.fromtimestamp(row.acted, UTC),
        receivedtime=datetime.fromtimestamp(row.received, UTC),
        data=one.feedback,
    )
    record = Record(partition=row.partition, offset=row.offset, key=b"", value=b"")
    at = row.received
    return Arrival(event, record, at, at, at, WAITING, Counts(), attribution=one.attribution)
