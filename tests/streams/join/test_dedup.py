"""Event keys: one event counts once, whichever process took it in and whatever was moved since.

Semantics locked here: CONTRACTS 1 and 13, on a database where one transaction writes at a time;
`test_postgres.py` has those where several do.
"""

import itertools
from collections.abc import Callable

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, generation

from rlwd.streams.join import dedup
from rlwd.streams.log.ports import Record

Make = Callable[[], Ledger]
SERIAL = itertools.count()


def values(*numbers: int) -> list[bytes]:
    """Events by number; only the key says of two of one number that they are one.

    (A generation's own row would stop a true repeat too, and hide what the keys missed.)
    """
    serial = next(SERIAL)
    return [
        generation(f"g{number}", float(number)).replace(
            f'"generation_id":"g{number}"'.encode(), f'"generation_id":"{serial}.{i}"'.encode()
        )
        for i, number in enumerate(numbers)
    ]


def new_of(ledger: Ledger, *numbers: int) -> int:
    """Take in events; return how many were new."""
    return ledger.take(*values(*numbers), partition=GENERATIONS).counts.accepted


@pytest.fixture(params=[1, 3, 1000])
def moved_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many new keys are moved together: at every poll, now and then, never."""
    monkeypatch.setattr(dedup, "MOVED_AT_ONCE", request.param)
    return int(request.param)


@pytest.mark.usefixtures("moved_at_once")
def test_known_is_known_before_and_after_it_is_moved(ledger: Ledger) -> None:
    """However many polls lie between an event and its repeat, it counts once."""
    for number in range(8):
        assert new_of(ledger, number, number) == 1
        assert new_of(ledger, *range(number + 1)) == 0
    assert ledger.fates() == {"waiting": 8}


@pytest.mark.usefixtures("moved_at_once")
def test_a_restart_knows_what_was_known(make_ledger: Make) -> None:
    """What the process held in memory is in the table."""
    ledger = make_ledger()
    assert new_of(ledger, 0, 1) == 2
    assert new_of(ledger, 2, 3) == 2
    ledger.store.close()
    again = make_ledger()
    assert new_of(again, 0, 1, 2, 3, 4) == 1


@pytest.mark.usefixtures("moved_at_once")
def test_processes_in_turns_know_each_others_events(make_ledger: Make) -> None:
    """Each takes in what the other did not, though either may have moved keys meanwhile."""
    one, two = make_ledger(), make_ledger()
    for round_ in range(4):
        for mine, partition in ((one, GENERATIONS), (two, FEEDBACK)):
            with mine.store.transaction() as tx:
                mine.ends |= mine.joiner.resume(tx, [partition])
            first = round_ * 2
            assert mine.take(*values(first, first + 1), partition=partition).counts.accepted == (
                2 if mine is one else 0
            )
            assert mine.take(*values(*range(first + 2)), partition=partition).counts.accepted == 0
    assert one.fates() == {"waiting": 8}


@pytest.mark.usefixtures("moved_at_once")
def test_what_was_not_committed_is_not_known(ledger: Ledger) -> None:
    """Taken back with its transaction, an event that comes again is taken in."""
    assert new_of(ledger, 0) == 1
    record = Record(partition=GENERATIONS, offset=1, key=b"s", value=values(1)[0])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), ledger.store.transaction() as tx:  # noqa: PT012
            ledger.joiner.ingest(tx, [record], 0.0)
            raise KeyboardInterrupt
    assert new_of(ledger, 0, 1, 2) == 2
    assert ledger.fates() == {"waiting": 3}


@pytest.mark.usefixtures("moved_at_once")
def test_nobody_has_to_say_that_it_was_committed(ledger: Ledger) -> None:
    """Where the word is lost, what is in the table still counts once."""
    offset = 0
    for number in range(4):
        batch = [
            Record(partition=GENERATIONS, offset=offset + i, key=b"s", value=value)
            for i, value in enumerate(values(*range(number + 1)))
        ]
        with ledger.store.transaction() as tx:
            counts = ledger.joiner.ingest(tx, batch, 0.0).counts
            ledger.joiner._positions[GENERATIONS] = offset = offset + len(batch)
        assert (counts.accepted, counts.duplicate) == (1, number)
