"""What is read next: what was not tried yet before what was, and nothing that was spent is forgotten."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import open_daemon_ledger
from gateway_rig import RecordingSink
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.ops.reading.judge import Judge
from rlwd.ops.reading.outcomes import Outcomes
from rlwd.ops.reading.picker import AGAIN_SECONDS, Picker
from rlwd.ops.reading.settings import JudgeSettings, SatisfactionSettings
from rlwd.ops.reading.settle import settle_readings
from rlwd.ops.reading.to_read import ToRead
from rlwd.ops.reading.worker import ReadingWorker
from rlwd.streams.events.signals import FollowedUp
from rlwd.streams.readings.reading_tallies import tallies_of
from rlwd.streams.readings.unread import ReadingScope


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = open_daemon_ledger(tmp_path / "rlwd.db")
    made.joiner.readings = ReadingScope(messages=True)
    yield made
    made.store.close()


def picker_of(ledger: Ledger) -> Picker:
    outcomes = Outcomes(RecordingSink(), "rlwd.feedback", b"k" * 16)
    return Picker(ledger.store, "policy", outcomes, rubrics=False, give_up_seconds=1e6)


def names(found: list[ToRead]) -> list[str]:
    return [one.row.generation_id for one in found]


def wrote(ledger: Ledger, *names: str) -> None:
    """Let people write back."""
    for name in names:
        ledger.take(generation(name, 1.0), now=1.0)
        said = feedback(f"{name}.f", name, FollowedUp(text="bad"), 2.0)
        ledger.take(said, partition=FEEDBACK, now=2.0)


def test_texts_that_fail_keep_none_from_being_read_once(ledger: Ledger) -> None:
    """However many of them are older, and due again: a reader that hangs on them starves no others."""
    picker = picker_of(ledger)
    wrote(ledger, *(f"a{number}" for number in range(5)))
    picker.tried([one.row for one in picker.pick(10.0)], 10.0)
    wrote(ledger, "b0", "b1")
    later = 10.0 + 2 * AGAIN_SECONDS
    assert names(picker.pick(later, 3)) == ["b0", "b1", "a0"]
    picker.tried([one.row for one in picker.pick(later, 2)], later)
    assert names(picker.pick(later, 3)) == ["a0", "a1", "a2"]


def test_each_time_it_takes_twice_as_long(ledger: Ledger) -> None:
    """A text that fails for an hour is asked a few times, and not sixty."""
    picker, now, tries = picker_of(ledger), 0.0, 0
    wrote(ledger, "a0")
    while now < 3600.0:
        if found := picker.pick(now):
            picker.tried([one.row for one in found], now)
            tries += 1
        now += 10.0
    assert tries == 6


class AwayStore:
    """A state database that is away for writing, as a server may be; the rest is the real one's."""

    def __init__(self, store: Any) -> None:
        self.store, self.away = store, True

    def reading(self) -> Any:
        return self.store.reading()

    def transaction(self) -> Any:
        if self.away:
            raise ConnectionError("the database is away")
        return self.store.transaction()


def test_what_was_spent_while_the_database_was_away_counts(ledger: Ledger, tmp_path: Path) -> None:
    """In the budget at once, and in the tables once they are back; nothing of it twice."""
    wrote(ledger, "a0")
    door = JudgeSettings(url="http://127.0.0.1:1/v1", model="m", calls_per_day=9)
    given = SatisfactionSettings(reader="judge", judge=door)
    spent: list[tuple[int, int]] = []
    worker = ReadingWorker(
        ledger.store, "policy", given, tmp_path / "readers", RecordingSink(), "t", b"k" * 16,
        clock=lambda: 50.0,
    )  # fmt: skip
    assert isinstance(worker.judge, Judge)
    worker.judge._told = Counter(calls=5, errors=5)
    store = AwayStore(ledger.store)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            settle_readings(store, "policy", worker, 50.0)  # type: ignore[arg-type]
        spent.append(worker._spent())
    # The text was given up as its tenant lets nothing go; that is not forgotten either.
    worker.turn(50.0)
    with pytest.raises(ConnectionError):
        settle_readings(store, "policy", worker, 50.0)  # type: ignore[arg-type]
    store.away = False
    settle_readings(store, "policy", worker, 50.0)  # type: ignore[arg-type]
    spent.append(worker._spent())
    settle_readings(store, "policy", worker, 50.0)  # type: ignore[arg-type]
    spent.append(worker._spent())
    assert spent == [(5, 0)] * 4
    with ledger.store.reading() as view:
        assert tallies_of(view, "policy") == {"calls": 5, "errors": 5, "tenant_refuses": 1}
    assert ledger.ask("SELECT COUNT(*) FROM unread") == (0,)
    worker.stop()
