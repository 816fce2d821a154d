"""Intake: one poll's events written into the tables, many rows to a statement.

Which events are new is decided before anything but event keys and feedback is written: on SQLite no
other process writes meanwhile, on a server the rows are locked. So a generation that comes with its
feedback, or after it, is written once, with its reward. Of two records of one poll with the same
name the first counts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from ..events.episode import Timed
from ..events.event import Event, FeedbackEvent, GenerationEvent
from ..events.stage import EpisodeStage
from ..log.ports import Partition, Record
from ..state.bulk import insert_rows
from ..state.transaction import Transaction, is_shared
from . import feedback_checks
from .dedup import EventKeys, key_of
from .episodes_table import (
    EpisodeRow,
    order_feedback,
    standings,
)
from .fate import WAITING
from .feedback_checks import FeedbackKey
from .offsets import Counts

_ENCODE = msgspec.json.Encoder().encode


class Arrival(NamedTuple):
    """One record that holds an event."""

    event: Event
    """What the record says."""
    record: Record
    """Where it stands on the log, and its bytes."""
    received: float
    """When the event was received, epoch seconds."""
    due: float
    """Until when its episode waits for a decision, by what this event says of it."""
    read_until: float
    """Until when its episode waits at least, since it was read only now."""
    fate: str
    """For a generation: `waiting`, or the rule that excludes it at once."""
    counts: Counts
    """Where it is counted."""


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
                )
                for event, _, received, *_ in arrived
                if isinstance(event, FeedbackEvent)
            ]
        )


def take(
    tx: Transaction,
    policy: str,
    arrivals: Sequence[Arrival],
    keys: EventKeys,
    now: float,
    cap: int,
) -> NewArrivals:
    """Take in one poll's feedback, and find the generations that are new.

    At most `cap` feedback of one kind counts on one answer.
    """
    fresh, came = _unknown(tx, arrivals, keys)
    if is_shared(tx):
        _lock(tx, policy, [*fresh, *came.values()])
    names = [arrival.event.data.generation_id for arrival in [*fresh, *came.values()]]
    known = standings(tx, policy, list(dict.fromkeys(names)))
    generations: dict[str, Arrival] = {}
    for arrival in fresh:
        name = arrival.event.data.generation_id
        if name not in known or known[name].received is None:
            generations.setdefault(name, arrival)
    new = {key: came[key] for key in _put_feedback(tx, policy, came, known)}
    said = {key: arrival.event.data for key, arrival in new.items()}
    served = {name: arrival.event.data.tenant for name, arrival in generations.items()}
    stood = feedback_checks.refuse_feedback(tx, policy, said, served, known, now, cap)
    feedback: dict[str, list[Arrival]] = {}
    for key, arrival in new.items():
        if key not in stood:
            feedback.setdefault(key.generation_id, []).append(arrival)
    _put_orphans(
        tx,
        policy,
        {
            name: each[-1].due
            for name, each in feedback.items()
            if name not in known and name not in generations
        },
    )
    return NewArrivals(
        generations=generations,
        feedback=feedback,
        known=known,
        refused=[new[key] for key in stood if key in new],
        refused_before=Counter(at for key, at in stood.items() if key not in new),
    )


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
            said = event.data
            key = FeedbackKey(said.generation_id, said.feedback_id, said.tenant)
            came.setdefault(key, arrival)
    unknown = keys.add(tx, list(first))
    fresh = [
        arrival
        for key, arrival in first.items()
        if key in unknown and isinstance(arrival.event, GenerationEvent)
    ]
    return fresh, came


def _lock(tx: Transaction, policy: str, arrivals: Iterable[Arrival]) -> None:
    """Lock these episodes until the transaction ends; make rows where there are none.

    What is read of an episode afterwards is then all that was committed about it. Ids are locked in
    order, so that two transactions never wait for each other in a circle.
    """
    due_of = {arrival.event.data.generation_id: arrival.due for arrival in arrivals}
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
        ' topic, partition, "offset") VALUES '
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
        data.signal.__struct_config__.tag,
        event.time.timestamp(),
        arrival.received,
        _ENCODE(data),
        partition.topic,
        partition.index,
        record.offset,
    )


def _put_orphans(tx: Transaction, policy: str, due_of: Mapping[str, float]) -> None:
    """Make rows for generations that have not come, so that their feedback waits for them."""
    insert_rows(
        tx,
        "INSERT INTO episodes (policy, generation_id, stage, fate, due) VALUES ",
        [(policy, name, EpisodeStage.ORPHAN.value, WAITING, due) for name, due in due_of.items()],
    )
