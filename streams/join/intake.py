"""Intake: one poll's events written into the tables, many rows to a statement.

Which events are new is decided before anything but event keys and feedback is written: on SQLite no
other process writes meanwhile, on a server the rows are locked. So a generation that comes with its
feedback, or after it, is written once, with its reward. Of two records of one poll with the same
name the first counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..events.episode import Timed, order_feedback
from ..events.event import Feedback, FeedbackEvent, GenerationEvent
from ..events.signals import kind_of
from ..events.stage import EpisodeStage
from ..log.ports import Partition
from ..sessions.linking import LinkedTurn
from ..state.bulk import insert_rows
from ..state.transaction import Transaction, is_shared
from . import feedback_checks
from .arrival import Arrival
from .conversations import link_conversations, write_conversations
from .dedup import EventKeys, key_of
from .episodes_table import (
    EpisodeRow,
    standings,
)
from .fate import WAITING, JoinSettings
from .feedback_checks import FeedbackKey

_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArrivals:
    """The events of one poll that were new."""

    generations: Mapping[str, Arrival]
    """New generations by id; nothing of them is written yet."""
    feedback: Mapping[str, Sequence[Arrival]]
    """New feedback by generation, written."""
    known: Mapping[str, EpisodeRow]
    """Rows there were already, of all that is named above."""
    refused: Sequence[Arrival]
    """New feedback that does not count; it is dead-lettered."""
    refused_before: Mapping[Partition, int]
    """Feedback of earlier polls that turned out not to count, by where it stood."""
    links: Mapping[str, LinkedTurn]
    """Where the new generations lead, of those that are turns of a session."""

    @property
    def new(self) -> list[Arrival]:
        """All that was new."""
        return [
            *self.generations.values(),
            *(one for each in self.feedback.values() for one in each),
        ]

    def alone(self, name: str) -> tuple[Timed, ...] | None:
        """Return the feedback on a generation that had no row; None where none came."""
        arrived = self.feedback.get(name)
        if arrived is None:
            return None
        return order_feedback(
            [
                Timed(
                    feedback=event.data,
                    acted_at=event.time.timestamp(),
                    received_at=received,
                    origin=origin,
                )
                for event, _, received, *_, origin in arrived
                if isinstance(event, FeedbackEvent)
            ]
        )


def take(
    tx: Transaction,
    policy: str,
    arrivals: Sequence[Arrival],
    keys: EventKeys,
    now: float,
    settings: JoinSettings,
) -> NewArrivals:
    """Take in one poll's feedback, and find the generations that are new, and where they lead."""
    fresh, came = _unknown(tx, arrivals, keys)
    linked, signals = link_conversations(tx, policy, fresh, settings)
    came |= {_key_of(arrival): arrival for arrival in signals}
    names = {arrival.event.data.generation_id: arrival for arrival in [*fresh, *came.values()]}
    bases = {one.base.generation_id for one in linked.new.values() if one.base is not None}
    if is_shared(tx):
        _lock(tx, policy, {**{name: 0.0 for name in bases}, **{n: a.due for n, a in names.items()}})
    known = standings(tx, policy, [*names, *(bases - names.keys())])
    generations: dict[str, Arrival] = {}
    for arrival in fresh:
        name = arrival.event.data.generation_id
        if name not in known or known[name].received is None:
            generations.setdefault(name, arrival)
    new = {key: came[key] for key in _put_feedback(tx, policy, came, known)}
    said = {key: arrival.event.data for key, arrival in new.items()}
    served = {name: arrival.event.data.tenant for name, arrival in generations.items()}
    cap = settings.feedback_per_kind
    stood = feedback_checks.refuse_feedback(tx, policy, said, served, known, now, cap)
    feedback: dict[str, list[Arrival]] = {}
    for key, arrival in new.items():
        if key not in stood:
            feedback.setdefault(key.generation_id, []).append(arrival)
    for name in write_conversations(tx, policy, linked, generations):
        feedback.setdefault(name, [])
    _put_orphans(
        tx,
        policy,
        {
            name: each[-1].due
            for name, each in feedback.items()
            if each and name not in known and name not in generations
        },
    )
    return NewArrivals(
        generations=generations,
        feedback=feedback,
        known=known,
        refused=[new[key] for key in stood if key in new],
        refused_before=Counter(at for key, at in stood.items() if key not in new),
        links={name: _with_held_base(one, known, generations) for name, one in linked.new.items()},
    )


def _with_held_base(
    linked: LinkedTurn, known: Mapping[str, EpisodeRow], new: Mapping[str, Arrival]
) -> LinkedTurn:
    """Return a link without its base where that is not held any more."""
    base = linked.base
    if base is None:
        return linked
    name = base.generation_id
    held = name in known and known[name].content is not None
    if held or (name in new and new[name].fate == WAITING):
        return linked
    return linked._replace(base=None)


def _unknown(
    tx: Transaction, arrivals: Sequence[Arrival], keys: EventKeys
) -> tuple[list[Arrival], dict[FeedbackKey, Arrival]]:
    """Return the generations with new event keys, and all feedback by its identity.

    The answer is part of it: clients name the thumbs of many answers alike.
    """
    first: dict[bytes, Arrival] = {}
    came: dict[FeedbackKey, Arrival] = {}
    for arrival in arrivals:
        event = arrival.event
        first.setdefault(key_of(event.source, event.id), arrival)
        if isinstance(event, FeedbackEvent):
            came.setdefault(_key_of(arrival), arrival)
    unknown = keys.add(tx, list(first))
    fresh = [
        arrival
        for key, arrival in first.items()
        if key in unknown and isinstance(arrival.event, GenerationEvent)
    ]
    return fresh, came


def _key_of(arrival: Arrival) -> FeedbackKey:
    said = arrival.event.data
    assert isinstance(said, Feedback)
    return FeedbackKey(said.generation_id, said.feedback_id, said.tenant)


def _lock(tx: Transaction, policy: str, due_of: Mapping[str, float]) -> None:
    """Lock these episodes until the transaction ends; make rows where there are none.

    What is read of an episode afterwards is then all that was committed about it. Ids are locked in
    order, so that two transactions never wait for each other in a circle.
    """
    insert_rows(
        tx,
        "INSERT INTO episodes (policy, generation_id, stage, fate, due) VALUES ",
        [
            (policy, name, EpisodeStage.ORPHAN.value, WAITING, due_of[name])
            for name in sorted(due_of)
        ],
        " ON CONFLICT (policy, generation_id) DO UPDATE SET generation_id = excluded.generation_id"
        " RETURNING 1",
    )


def _put_feedback(
    tx: Transaction,
    policy: str,
    came: Mapping[FeedbackKey, Arrival],
    known: Mapping[str, EpisodeRow],
) -> list[FeedbackKey]:
    """Take in feedback; return what is new."""
    head = (
        "INSERT INTO feedback (policy, generation_id, feedback_id, tenant, kind, acted, received, payload,"
        ' topic, partition, "offset", origin) VALUES '
    )
    # A generation without a row has no feedback yet, so nothing here can be known already.
    first = [names for names in came if names[0] not in known]
    insert_rows(tx, head, [_feedback_row(policy, came[names]) for names in first])
    more = [_feedback_row(policy, came[names]) for names in came if names[0] in known]
    returning = " ON CONFLICT DO NOTHING RETURNING generation_id, feedback_id, tenant"
    return first + [FeedbackKey._make(row) for row in insert_rows(tx, head, more, returning)]


def _feedback_row(policy: str, arrival: Arrival) -> tuple[Any, ...]:
    event, record = arrival.event, arrival.record
    assert isinstance(event, FeedbackEvent)
    data, partition = event.data, record.partition
    return (
        policy,
        data.generation_id,
        data.feedback_id,
        data.tenant,
        kind_of(data.signal),
        event.time.timestamp(),
        arrival.received,
        _ENCODE(data),
        partition.topic,
        partition.index,
        record.offset,
        arrival.origin,
    )


def _put_orphans(tx: Transaction, policy: str, due_of: Mapping[str, float]) -> None:
    """Make rows for generations that have not come, so that their feedback waits for them."""
    insert_rows(
        tx,
        "INSERT INTO episodes (policy, generation_id, stage, fate, due) VALUES ",
        [(policy, name, EpisodeStage.ORPHAN.value, WAITING, due) for name, due in due_of.items()],
    )
