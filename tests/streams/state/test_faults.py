"""Faults of the machine below the ledger: it stops with an error, and nothing is lost or doubled."""

import sqlite3
from pathlib import Path

import pytest
from ledger_by_hand import GENERATIONS, Ledger, generation, open_ledger

from rlwd.daemon.control.lifecycle import SteadyClock
from rlwd.streams.log.ports import Record
from rlwd.streams.state.sqlite import SqliteStore


def test_a_full_disk_stops_the_poll_and_loses_nothing(tmp_path: Path) -> None:
    """What did not fit leaves no trace, offsets included, and goes in once there is room."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    ledger.take(generation("g0", 0.0))
    with ledger.store.transaction() as tx:
        pages = tx.execute("PRAGMA page_count").fetchone()[0]
        tx.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = [generation(f"g{i}", 0.0, text="x" * 20_000) for i in range(1, 9)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        ledger.take(*large)
    assert ledger.ask("SELECT next FROM offsets WHERE topic = 'generations'") == (1,)
    assert ledger.fates() == {"waiting": 1}
    with ledger.store.transaction() as tx:
        tx.execute("PRAGMA max_page_count = 1000000")
    ledger.take(*large)
    assert ledger.fates() == {"waiting": 9}
    assert ledger.ask("SELECT SUM(delivered), SUM(accepted) FROM offsets") == (9, 9)


def test_a_locked_database_stops_the_poll_and_loses_nothing(tmp_path: Path) -> None:
    """Whoever holds the lock too long makes the poll fail; the next one takes the same records."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    impatient = SqliteStore(tmp_path / "rlwd.db", {}, busy_seconds=0.1)
    holder = sqlite3.connect(tmp_path / "rlwd.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    record = Record(partition=GENERATIONS, offset=0, key=b"s", value=generation("g", 0.0))
    with (
        pytest.raises(TimeoutError, match=r"rlwd.db: database is locked; another process holds it"),
        impatient.transaction() as tx,
    ):
        ledger.joiner.ingest(tx, [record], 0.0)
    holder.execute("ROLLBACK")
    holder.close()
    ledger.take(generation("g", 0.0))
    assert ledger.fates() == {"waiting": 1}
    impatient.close()


def test_a_jump_of_the_wall_clock_moves_nothing() -> None:
    """Once started, only elapsed time counts: a clock set forward by a day closes no horizon."""
    wall, elapsed = [1_000_000.0], [50.0]
    clock = SteadyClock(lambda: wall[0], lambda: elapsed[0])
    wall[0] += 86_400.0
    elapsed[0] += 2.0
    assert clock() == 1_000_002.0


def test_a_record_of_ten_megabytes_is_dead_lettered_whole(ledger: Ledger) -> None:
    """It is kept as it came, and the next record goes on."""
    large = b"{" + b"x" * 10_000_000
    assert ledger.take(large, generation("g", 0.0)).counts.dead_lettered == 1
    assert ledger.ask("SELECT LENGTH(value) FROM dead_letters") == (len(large),)
    assert ledger.fates() == {"waiting": 1}
