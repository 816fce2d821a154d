"""Intake: one poll's events written into the tables, many rows to a statement.

Every statement returns the rows that were new, so what another process wrote meanwhile is seen as
it is. Where one poll brings a name twice, the first counts.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from .event import Event, FeedbackEvent, GenerationEvent
from .source import Record
from .transaction import Transaction, is_shared

AT_ONCE = 100
"""Most rows in one statement; a generation's 17 columns stay far below 32,766 placeholders."""

_ENCODE = msgspec.json.Encoder().encode

_INSERT = (
    "INSERT INTO episodes (policy, generation_id, stage, fate, due, received, day, segment,"
    ' user_hash, salt, variant, version, empty, topic, partition, "offset", payload) VALUES '
)
_MEET = (
    " ON CONFLICT (policy, generation_id) DO UPDATE SET stage = excluded.stage,"
    " fate = excluded.fate, due = excluded.due, received = excluded.received,"
    " day = excluded.day, segment = excluded.segment, user_hash = excluded.user_hash,"
    " salt = excluded.salt, variant = excluded.variant, version = excluded.version,"
    " empty = excluded.empty, topic = excluded.topic, partition = excluded.partition,"
    ' "offset" = excluded."offset", payload = excluded.payload WHERE episodes.received IS NULL'
    " RETURNING generation_id"
)


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


def event_key(event: Event) -> bytes:
    """Return what de-duplication knows an event by (CONTRACTS 1)."""
    return hashlib.blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16).digest()


def take(tx: Transaction, policy: str, arrivals: Sequence[Arrival]) -> list[bool]:
    """Take in one poll's events; return which of them were new."""
    first: dict[bytes, int] = {}
    for index, arrival in enumerate(arrivals):
        first.setdefault(event_key(arrival.event), index)
    keys = _insert(
        tx,
        "INSERT INTO event_keys (policy, digest) VALUES ",
        [(policy, key) for key in first],
        " ON CONFLICT DO NOTHING RETURNING digest",
    )
    news = [False] * len(arrivals)
    generations: dict[str, int] = {}
    feedback: dict[tuple[str, str], int] = {}
    new = sorted(first[bytes(key)] for (key,) in keys)
    if is_shared(tx):
        _hold(tx, policy, [arrivals[index] for index in new])
    for index in new:
        event = arrivals[index].event
        if isinstance(event, GenerationEvent):
            generations.setdefault(event.data.generation_id, index)
        else:
            feedback.setdefault((event.data.generation_id, event.data.feedback_id), index)
    for (name,) in _put_generations(tx, policy, [arrivals[i] for i in generations.values()]):
        news[generations[name]] = True
    for names in _put_feedback(tx, policy, [arrivals[i] for i in feedback.values()]):
        news[feedback[names]] = True
    return news


def _hold(tx: Transaction, policy: str, arrivals: Iterable[Arrival]) -> None:
    """Keep all other transactions from these episodes until this one ends; make rows where none is.

    What is read of an episode afterwards is then all that was committed about it. In one order of
    ids, so that two transactions that meet never wait for each other in a circle.
    """
    due_of = {arrival.event.data.generation_id: arrival.due for arrival in arrivals}
    _insert(
        tx,
        "INSERT INTO episodes (policy, generation_id, stage, fate, due) VALUES ",
        [(policy, name, "orphan", "waiting", due_of[name]) for name in sorted(due_of)],
        " ON CONFLICT (policy, generation_id) DO UPDATE SET generation_id = excluded.generation_id"
        " RETURNING 1",
    )


def _put_generations(tx: Transaction, policy: str, arrivals: Iterable[Arrival]) -> list[Any]:
    """Take in generations; return the ids of those that are new.

    With a fate other than waiting the row is closed at once and holds no payload: what may not be
    trained on is counted, not kept.
    """
    rows = []
    for event, record, received, due, fate in arrivals:
        assert isinstance(event, GenerationEvent)
        data, waits = event.data, fate == "waiting"
        rows.append(
            (
                policy,
                data.generation_id,
                "open" if waits else "closed",
                fate,
                due,
                received,
                int(received // 86400),
                data.segment,
                data.user_hash,
                data.salt,
                # Whoever got other weights than his variant's says nothing about either of them.
                "fallback" if data.fallback else data.variant,
                data.version,
                int(data.completion_token_ids == ()),
                record.partition.topic,
                record.partition.index,
                record.offset,
                record.value if waits else None,
            )
        )
    return _insert(tx, _INSERT, rows, _MEET)


def _put_feedback(tx: Transaction, policy: str, arrivals: Iterable[Arrival]) -> list[Any]:
    """Take in feedback; return generation id and feedback id of what is new."""
    rows, due_of = [], {}
    for event, record, received, due, _ in arrivals:
        assert isinstance(event, FeedbackEvent)
        data = event.data
        due_of[data.generation_id] = due
        rows.append(
            (
                policy,
                data.generation_id,
                data.feedback_id,
                data.signal.__struct_config__.tag,
                event.time.timestamp(),
                received,
                _ENCODE(data),
                record.partition.topic,
                record.partition.index,
                record.offset,
            )
        )
    new = _insert(
        tx,
        "INSERT INTO feedback (policy, generation_id, feedback_id, kind, acted, received, payload,"
        ' topic, partition, "offset") VALUES ',
        rows,
        " ON CONFLICT DO NOTHING RETURNING generation_id, feedback_id",
    )
    tx.executemany(
        "INSERT INTO episodes (policy, generation_id, stage, fate, due)"
        " VALUES (?, ?, 'orphan', 'waiting', ?) ON CONFLICT DO NOTHING",
        [(policy, name, due_of[name]) for name in dict.fromkeys(name for name, _ in new)],
    )
    return new


def _insert(tx: Transaction, head: str, rows: Sequence[tuple[Any, ...]], tail: str) -> list[Any]:
    """Insert rows, many to a statement; return all that the statements returned."""
    found: list[Any] = []
    for start in range(0, len(rows), AT_ONCE):
        chunk = rows[start : start + AT_ONCE]
        marks = "(" + ",".join("?" * len(chunk[0])) + ")"
        values = [value for row in chunk for value in row]
        found += tx.execute(head + ",".join([marks] * len(chunk)) + tail, values).fetchall()
    return found
