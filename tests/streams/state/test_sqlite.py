"""The state database: migrated by number, all or nothing, one writer at a time (CONTRACTS 14)."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlwd.streams.state.migration import StoreTooNew
from rlwd.streams.state.sqlite import SqliteStore

FIRST = "CREATE TABLE a (x INTEGER NOT NULL)"
SECOND = "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 7; CREATE INDEX a_x ON a (x)"


def count(store: SqliteStore) -> int:
    with store.reading() as view:
        return int(view.execute("SELECT COUNT(*) FROM a").fetchone()[0])


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    """A new one is added to what is there; the old ones are not run again."""
    path = tmp_path / "deep" / "rlwd.db"
    first = SqliteStore(path, {"one": [FIRST]})
    with first.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (1)")
    first.close()
    for _ in range(2):
        store = SqliteStore(path, {"one": [FIRST, SECOND], "two": ["CREATE TABLE b (z INTEGER)"]})
        with store.reading() as view:
            assert view.execute("SELECT x, y FROM a").fetchall() == [(1, 7)]
            done = view.execute("SELECT folder, number FROM migrations ORDER BY folder, number")
            assert done.fetchall() == [("one", 1), ("one", 2), ("two", 1)]
        store.close()


def test_a_later_database_is_refused(tmp_path: Path) -> None:
    """A database that a newer rlwd migrated is not opened, and the message says what to do."""
    path = tmp_path / "rlwd.db"
    SqliteStore(path, {"one": [FIRST, SECOND]}).close()
    with pytest.raises(
        StoreTooNew, match=r"one is at migration 2, this rlwd knows 1: run the newer"
    ):
        SqliteStore(path, {"one": [FIRST]})


def test_a_migration_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    """Statements of a failing script are taken back with the number, the tables before it stay."""
    path = tmp_path / "rlwd.db"
    SqliteStore(path, {"one": [FIRST]}).close()
    broken = "CREATE TABLE b (z INTEGER); CREATE TABLE a (x INTEGER)"
    with pytest.raises(sqlite3.OperationalError, match="table a already exists"):
        SqliteStore(path, {"one": [FIRST, broken]})
    store = SqliteStore(path, {"one": [FIRST]})
    with store.reading() as view:
        assert view.execute("SELECT COUNT(*) FROM migrations").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="no such table: b"):
            view.execute("SELECT * FROM b")
    store.close()


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """A database with one table."""
    return SqliteStore(tmp_path / "rlwd.db", {"one": [FIRST]})


def test_what_was_not_committed_leaves_no_trace(store: SqliteStore) -> None:
    """An error in the block takes back all of it, and the next transaction works."""
    with pytest.raises(RuntimeError, match="crash"), store.transaction() as tx:  # noqa: PT012
        tx.execute("INSERT INTO a VALUES (1)")
        raise RuntimeError("crash")
    assert count(store) == 0
    with store.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (2)")
    assert count(store) == 1


def test_a_view_is_of_one_moment_and_cannot_write(store: SqliteStore) -> None:
    """A reader sees what was committed when it began, neither waits nor changes anything."""
    with store.reading() as view, store.transaction() as tx:
        assert view.execute("SELECT COUNT(*) FROM a").fetchone() == (0,)
        tx.execute("INSERT INTO a VALUES (1)")
        assert view.execute("SELECT COUNT(*) FROM a").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            view.execute("INSERT INTO a VALUES (2)")
    assert count(store) == 1


def test_a_folder_with_odd_characters_is_read_too(tmp_path: Path) -> None:
    """A path is no address: `?`, `#` and `%` in it mean themselves."""
    store = SqliteStore(tmp_path / "50%?mode=x#y" / "rlwd.db", {"one": [FIRST]})
    assert count(store) == 0


def test_what_is_committed_survives_a_crash(store: SqliteStore) -> None:
    """WAL with synchronous=FULL, so that a commit is on the disk when it returns."""
    with store.transaction() as tx:
        assert tx.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert tx.execute("PRAGMA synchronous").fetchone() == (2,)


def test_threads_take_turns(store: SqliteStore) -> None:
    """Many threads on one store lose nothing: each read and write is one turn."""

    def add() -> None:
        for _ in range(20):
            with store.transaction() as tx:
                most = tx.execute("SELECT COALESCE(MAX(x), 0) FROM a").fetchone()[0]
                tx.execute("INSERT INTO a VALUES (?)", (most + 1,))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as view:
        assert view.execute("SELECT MAX(x), COUNT(DISTINCT x) FROM a").fetchone() == (80, 80)


ADD = """
import sys
from pathlib import Path
from rlwd.streams.state.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), {"one": [sys.argv[2]]})
print("open", flush=True)
sys.stdin.readline()
for _ in range(25):
    with store.transaction() as tx:
        most = tx.execute("SELECT COALESCE(MAX(x), 0) FROM a").fetchone()[0]
        tx.execute("INSERT INTO a VALUES (?)", (most + 1,))
"""

CRASH = """
import sys
from pathlib import Path
from rlwd.streams.state.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), {"one": [sys.argv[2]]})
with store.transaction() as tx:
    tx.execute("INSERT INTO a VALUES (1)")
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    """Two processes that open one new file at once, and write at once, wait for each other."""
    path = tmp_path / "rlwd.db"
    command = [sys.executable, "-c", ADD, str(path), FIRST]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    for process in both:
        process.communicate("go\n", timeout=300)
    assert [process.returncode for process in both] == [0, 0]
    store = SqliteStore(path, {"one": [FIRST]})
    with store.reading() as view:
        assert view.execute("SELECT MAX(x), COUNT(DISTINCT x) FROM a").fetchone() == (50, 50)
    store.close()


def test_a_killed_process_leaves_no_half_transaction(tmp_path: Path) -> None:
    """Killed inside a transaction, what it had written is not there, and the lock is free."""
    path = tmp_path / "rlwd.db"
    command = [sys.executable, "-c", CRASH, str(path), FIRST]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.kill()
    store = SqliteStore(path, {"one": [FIRST]}, busy_seconds=1.0)
    assert count(store) == 0
    with store.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (2)")
    store.close()
