"""Intake: one poll's events written into the tables, many rows to a statement.

Which events are new is decided before anything but event keys and feedback is written: on SQLite no
other process writes meanwhile, on a server the rows are locked. So a generation that comes with its
feedback, or after it, is written once, with its reward. Of two records of one poll with the same
name the first counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from ..events.answer_outcome import outcome_of
from ..events.episode import Timed
from ..events.event import Event, FeedbackEvent, GenerationEvent
from ..events.stage import EpisodeStage
from ..log.ports import Record
from ..state.bulk import insert_rows
from ..state.transaction import Transaction, is_shared
from .contents import put_contents
from .dedup import EventKeys, key_of
from .episodes_table import (
    UNSCORED,
    EpisodeRow,
    NewRow,
    order_feedback,
    put_generations,
    standings,
)
from .fate import WAITING
from .offsets import Counts

_ENCODE = msgspec.json.Encoder().encode


class Arrival(NamedTuple):
    """One record that holds an event."""

    event: Event
    """What it says."""
    record: Record
    """The record."""
    received: float
    """When the event was received, epoch seconds."""
    due: float
    """Until when its episode waits for a decision, by what this event says of it."""
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


def take(tx: Transaction, policy: str, arrivals: Sequence[Arrival], keys: EventKeys) -> NewArrivals:
    """Take in one poll's feedback, and find the generations that are new."""
    first: dict[bytes, Arrival] = {}
    for arrival in arrivals:
        first.setdefault(key_of(arrival.event.source, arrival.event.id), arrival)
    unknown = keys.add(tx, list(first))
    fresh = [arrival for key, arrival in first.items() if key in unknown]
    if is_shared(tx):
        _lock(tx, policy, fresh)
    names = list(dict.fromkeys([arrival.event.data.generation_id for arrival in fresh]))
    known = standings(tx, policy, names)
    generations: dict[str, Arrival] = {}
    came: dict[tuple[str, str], Arrival] = {}
    for arrival in fresh:
        event = arrival.event
        name = event.data.generation_id
        if isinstance(event, FeedbackEvent):
            came.setdefault((name, event.data.feedback_id), arrival)
        elif name not in known or known[name].received is None:
            generations.setdefault(name, arrival)
    feedback: dict[str, list[Arrival]] = {}
    for place in _put_feedback(tx, policy, came, known):
        feedback.setdefault(place[0], []).append(came[place])
    _put_orphans(
        tx,
        policy,
        {
            name: each[-1].due
            for name, each in feedback.items()
            if name not in known and name not in generations
        },
    )
    return NewArrivals(generations=generations, feedback=feedback, known=known)


def write_generations(
    tx: Transaction, policy: str, new: Iterable[tuple[Arrival, NewRow | None]]
) -> None:
    """Write new generations, with their rewards where these are known already.

    A generation with a fate other than waiting is closed at once and holds no content: what may not
    be trained on is counted, not kept.
    """
    arrivals = list(new)
    contents = put_contents(
        tx,
        policy,
        [
            (arrival.event.data.generation_id, arrival.record.value)
            for arrival, _ in arrivals
            if arrival.fate == WAITING
        ],
    )
    put_generations(
        tx,
        [
            _generation_row(policy, arrival, worth, contents.get(arrival.event.data.generation_id))
            for arrival, worth in arrivals
        ],
    )


def _generation_row(
    policy: str, arrival: Arrival, worth: NewRow | None, content: int | None
) -> tuple[Any, ...]:
    event, record, received, due, fate, _ = arrival
    assert isinstance(event, GenerationEvent)
    data, partition, outcome = event.data, record.partition, outcome_of(event.data)
    if worth is None:
        worth = UNSCORED._replace(
            stage=EpisodeStage.OPEN if fate == WAITING else EpisodeStage.CLOSED,
            fate=fate,
            due=due,
        )
    return (
        policy,
        data.generation_id,
        received,
        int(received // 86400),
        data.segment,
        data.user_hash,
        data.salt,
        # A fallback answer counts for no variant: other weights than the variant's gave it.
        "fallback" if data.fallback else data.variant,
        data.version,
        int(outcome.empty),
        int(outcome.failed),
        int(outcome.cut),
        int(data.user_named),
        partition.topic,
        partition.index,
        record.offset,
        content,
        worth.stage.value,
        *worth[1:],
    )


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
    came: Mapping[tuple[str, str], Arrival],
    known: Mapping[str, EpisodeRow],
) -> list[tuple[str, str]]:
    """Take in feedback; return generation id and feedback id of what is new."""
    head = (
        "INSERT INTO feedback (policy, generation_id, feedback_id, kind, acted, received, payload,"
        ' topic, partition, "offset") VALUES '
    )
    # A generation without a row has no feedback yet, so nothing here can be known already.
    first = [names for names in came if names[0] not in known]
    insert_rows(tx, head, [_feedback_row(policy, came[names]) for names in first])
    more = [_feedback_row(policy, came[names]) for names in came if names[0] in known]
    returning = " ON CONFLICT DO NOTHING RETURNING generation_id, feedback_id"
    return first + insert_rows(tx, head, more, returning)


def _feedback_row(policy: str, arrival: Arrival) -> tuple[Any, ...]:
    event, record = arrival.event, arrival.record
    assert isinstance(event, FeedbackEvent)
    data, partition = event.data, record.partition
    return (
        policy,
        data.generation_id,
        data.feedback_id,
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
