"""Decided messages are read off the state database: the newest ones, and nobody's alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_by_hand import FEEDBACK, open_daemon_ledger
from ledger_by_hand import Ledger, feedback, generation
from places_by_hand import new_schema

from rlwd.ops.reading.decided import LEAST_PART, decided_messages
from rlwd.streams.events.signals import Accepted, FollowedUp


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger on each kind of state database."""
    on_server = request.param == "postgres"
    url = new_schema(request.getfixturevalue("postgres_url")) if on_server else ""
    opened = open_daemon_ledger(url or tmp_path / "rlwd.db")
    yield opened
    opened.store.close()


def write(ledger: Ledger, name: str, at: float, **who: str) -> None:
    ledger.take(generation(name, at, **who))
    for signal in (Accepted(), FollowedUp(text=f"thanks for {name}")):
        said = feedback(f"{name}.{type(signal).__name__}", name, signal, at + 1.0)
        ledger.take(said, partition=FEEDBACK)


def test_who_writes_without_end_pushes_nobody_out(ledger: Ledger) -> None:
    """The newest of one person are as many as a person's part; the others' older ones stay."""
    limit = LEAST_PART + 50
    for number in range(10):
        write(ledger, f"other{number}", float(number), user_hash=f"p{number}")
    for number in range(limit + 5):
        write(ledger, f"loud{number:03d}", 100.0 + number, user_hash="loud")
    found = decided_messages(ledger.store, "policy", limit)
    loud = sorted(one.message.text for one in found if one.person == "loud")
    assert loud == [f"thanks for loud{number:03d}" for number in range(55, limit + 5)]
    assert {one.person for one in found} == {"loud", *(f"p{number}" for number in range(10))}


def test_who_is_not_named_is_told_by_the_session(ledger: Ledger) -> None:
    """Many sessions without a name are many people, as far as anybody knows."""
    for number in range(6):
        write(ledger, f"g{number}", float(number), session_id=f"s{number}")
    found = decided_messages(ledger.store, "policy", LEAST_PART)
    assert {one.person for one in found} == {f"s{number}" for number in range(6)}
