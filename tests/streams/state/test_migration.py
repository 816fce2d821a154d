"""A state database of an earlier rlwd, opened by this one: nothing that it knew is lost.

Locked here: the migration that moved contents into a table of their own (number 4).
"""

from pathlib import Path
from typing import Any

from ledger_by_hand import (
    FEEDBACK,
    GENERATIONS,
    Ledger,
    feedback,
    generation,
    open_ledger,
)
from places_by_hand import Place

from rlwd.streams.events.event import decode_event
from rlwd.streams.events.signals import Accepted, Rejected, Undone
from rlwd.streams.join.dedup import key_of
from rlwd.streams.join.episodes_table import load_episodes
from rlwd.streams.log.ports import Partition
from rlwd.streams.open import MIGRATIONS
from rlwd.streams.state.postgres import PostgresStore
from rlwd.streams.state.sqlite import SqliteStore
from rlwd.streams.state.transaction import Transaction

EARLIER = 3
"""Migrations that the earlier rlwd knew."""
RECORDS = {
    "waits": generation("waits", 10.0, salt="experiment", user_hash="u"),
    "ready": generation("ready", 20.0),
    "trained": generation("trained", 30.0),
    "expired": generation("expired", 5.0),
}
SAID = {
    "f-ready": feedback("f-ready", "ready", Accepted(), 21.0),
    "f-orphan": feedback("f-orphan", "orphan", Rejected(), 22.0),
}
PARTS = b'{"accepted":[1.0,1.0]}'
ROWS: tuple[tuple[Any, ...], ...] = (
    # generation, stage, fate, due, received, salt, payload, reward, revision, offset, batch, late
    ("waits", "open", "waiting", 110.0, 10.0, "experiment", True, None, 0, 0, None, 0),
    ("ready", "ready", "waiting", 0.0, 20.0, "", True, 1.0, 2, 1, None, 0),
    ("trained", "closed", "trained", 0.0, 30.0, "", True, 0.5, 1, 2, 7, 3),
    ("expired", "closed", "excluded:expired", 0.0, 5.0, "", False, 0.25, 1, 3, None, 0),
    ("orphan", "orphan", "waiting", 122.0, None, None, False, None, 0, None, None, 0),
)


def earlier_database(place: Place) -> None:
    """Write a database as the earlier rlwd left it."""
    migrations = {"streams": MIGRATIONS[:EARLIER]}
    made = (
        SqliteStore(place, migrations)
        if isinstance(place, Path)
        else PostgresStore(place, migrations)
    )
    with made.transaction() as tx:
        _write_events(tx)
        for name, *row in ROWS:
            stage, fate, due, received, salt, held, reward, revision, offset, batch, late = row
            tx.execute(
                "INSERT INTO episodes (policy, generation_id, stage, fate, due, received, day,"
                " segment, user_hash, salt, variant, version, payload, reward, parts, spec_version,"
                ' revision, topic, partition, "offset", batch_id, late) VALUES'
                " ('policy', ?, ?, ?, ?, ?, 0, 'default', 'u', ?, 'champion', 'v', ?, ?, ?, 'test@1',"
                " ?, 'generations', 0, ?, ?, ?)",
                (
                    *(name, stage, fate, due, received, salt, RECORDS[name] if held else None),
                    *(reward, None if reward is None else PARTS, revision, offset, batch, late),
                ),
            )
        tx.execute(
            "INSERT INTO offsets (policy, topic, partition, next, delivered, accepted)"
            " VALUES ('policy', 'generations', 0, 4, 4, 4)"
        )
    made.close()


def _write_events(tx: Transaction) -> None:
    for value in (*RECORDS.values(), *SAID.values()):
        event = decode_event(value)
        tx.execute("INSERT INTO event_keys VALUES ('policy', ?)", (key_of(event.source, event.id),))
    for offset, (name, value) in enumerate(SAID.items()):
        data = value[value.index(b'"data":') + 7 : -1]
        tx.execute(
            "INSERT INTO feedback (policy, generation_id, feedback_id, kind, acted, received,"
            ' payload, topic, partition, "offset") VALUES'
            " ('policy', ?, ?, 'accepted', 21.0, 21.0, ?, 'feedback', 0, ?)",
            (name.removeprefix("f-"), name, data, offset),
        )


def opened(place: Place) -> Ledger:
    earlier_database(place)
    return open_ledger(place)


def test_every_row_is_what_it_was(place: Place) -> None:
    """Stage, fate, times, rewards, parts, batches and counts come through as they were."""
    ledger = opened(place)
    with ledger.store.reading() as view:
        for name, *row in ROWS:
            stage, fate, due, received, salt, held, reward, revision, offset, batch, late = row
            found = view.execute(
                "SELECT stage, fate, due, received, salt, content IS NOT NULL, reward, parts,"
                ' revision, "offset", batch_id, late, user_hash, variant FROM episodes'
                " WHERE policy = 'policy' AND generation_id = ?",
                (name,),
            ).fetchone()
            parts = None if reward is None else PARTS
            assert tuple(found) == (
                *(stage, fate, due, received, salt, held, reward, parts),
                *(revision, offset, batch, late, "u", "champion"),
            )
        assert view.execute("SELECT COUNT(*) FROM contents").fetchone() == (3,)
        assert view.execute("SELECT COUNT(*) FROM feedback").fetchone() == (2,)
        assert set(view.execute("SELECT tenant FROM feedback").fetchall()) == {("default",)}
    assert ledger.ends == {GENERATIONS: 4}
    ledger.store.close()


def test_every_content_is_still_its_own_generations(place: Place) -> None:
    """What is loaded of a generation is what its record said, with the feedback on it."""
    ledger = opened(place)
    with ledger.store.reading() as view:
        found = load_episodes(view, "policy", [name for name, *_ in ROWS])
    assert [episode.id for episode in found] == ["waits", "ready", "trained"]
    for episode in found:
        event = decode_event(RECORDS[episode.id])
        assert episode.generation == event.data
        assert episode.received_at == event.receivedtime.timestamp()
    assert [len(episode.feedback) for episode in found] == [0, 1, 0]
    ledger.store.close()


def test_what_was_known_is_still_a_duplicate(place: Place) -> None:
    """The topics read again from zero move nothing."""
    ledger = opened(place)
    before = ledger.fates()
    again = ledger.take(*RECORDS.values(), *SAID.values(), partition=Partition(topic="x", index=0))
    assert (again.counts.duplicate, again.counts.accepted) == (6, 0)
    assert ledger.fates() == before
    ledger.store.close()


def test_joining_goes_on_with_what_was_there(place: Place) -> None:
    """An open generation is scored, a ready one revised, an orphan meets its generation."""
    ledger = opened(place)
    ledger.take(
        feedback("now", "waits", Accepted(), 40.0),
        feedback("undone", "ready", Undone(), 41.0),
        feedback("late", "trained", Undone(), 42.0),
        partition=FEEDBACK,
    )
    ledger.take(generation("orphan", 21.0))
    rows = "SELECT reward, stage, fate, revision, late FROM episodes WHERE generation_id = ?"
    assert ledger.ask(rows, "waits") == (1.0, "ready", "waiting", 1, 0)
    assert ledger.ask(rows, "ready") == (0.0, "ready", "waiting", 3, 0)
    assert ledger.ask(rows, "trained") == (0.5, "closed", "trained", 1, 4)
    assert ledger.ask(rows, "orphan") == (0.0, "ready", "waiting", 1, 0)
    ledger.store.close()
