"""The state database on either engine, and what only a server has (CONTRACTS 14, 16).

Locked here: migrations by number, all or nothing, views that nobody waits for, and with several
writers at once: no feedback lost, no circle of waiting, and no stopped process that keeps the others out.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from ledger_by_hand import Ledger, feedback, generation, open_ledger
from places_by_hand import Place, new_schema
from waiting import until

from rlwd.ops.servers.process import free_port
from rlwd.streams.events.signals import Accepted, Copied, Edited
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.state.migration import StoreTooNew
from rlwd.streams.state.postgres import PostgresStore, name_of, read_only
from rlwd.streams.state.sqlite import SqliteStore
from rlwd.streams.state.store import Store

FIRST = "CREATE TABLE a (x INTEGER NOT NULL)"
SECOND = "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 7; CREATE INDEX a_x ON a (x)"

Open = Callable[..., Store]


@pytest.fixture
def open_at(place: Place) -> Iterator[Open]:
    """Open a store of this test's database with these migrations; closed at the end."""
    opened: list[Store] = []

    def open_one(migrations: dict[str, Sequence[str]]) -> Store:
        store = (
            SqliteStore(place, migrations)
            if isinstance(place, Path)
            else PostgresStore(place, migrations)
        )
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def url(postgres_url: str) -> str:
    """An empty schema on the server."""
    return new_schema(postgres_url)


@pytest.fixture
def server(url: str) -> Iterator[PostgresStore]:
    """A store with one table on the server; who stops in a transaction is ended after a second."""
    store = PostgresStore(url, {"one": [FIRST]}, busy_seconds=5.0, idle_seconds=1.0)
    yield store
    store.close()


def count(store: Store) -> int:
    with store.reading() as view:
        return int(view.execute("SELECT COUNT(*) FROM a").fetchone()[0])


def test_migrations_run_once_and_in_order(open_at: Open) -> None:
    """A new one is added to what is there; the old ones are not run again."""
    with open_at({"one": [FIRST]}).transaction() as tx:
        tx.execute("INSERT INTO a VALUES (?)", (1,))
    for _ in range(2):
        store = open_at({"one": [FIRST, SECOND], "two": ["CREATE TABLE b (z INTEGER)"]})
        with store.reading() as view:
            assert view.execute("SELECT x, y FROM a").fetchall() == [(1, 7)]
            done = view.execute("SELECT folder, number FROM migrations ORDER BY folder, number")
            assert done.fetchall() == [("one", 1), ("one", 2), ("two", 1)]


def test_a_later_database_is_refused(open_at: Open) -> None:
    """A database that a newer rlwd migrated is not opened, and the message says what to do."""
    open_at({"one": [FIRST, SECOND]})
    with pytest.raises(StoreTooNew, match=r"one is at migration 2, this rlwd knows 1: run the new"):
        open_at({"one": [FIRST]})


def test_a_migration_that_fails_leaves_the_old_state(open_at: Open) -> None:
    """Statements of a failing script are taken back with the number, the tables before it stay."""
    open_at({"one": [FIRST]})
    broken = "CREATE TABLE b (z INTEGER); CREATE TABLE a (x INTEGER)"
    with pytest.raises(Exception, match=r"a.* already exists"):
        open_at({"one": [FIRST, broken]})
    store = open_at({"one": [FIRST], "two": ["CREATE TABLE b (z INTEGER)"]})
    with store.reading() as view:
        assert view.execute("SELECT COUNT(*) FROM migrations").fetchone() == (2,)


def test_what_was_not_committed_leaves_no_trace(open_at: Open) -> None:
    """An error in the block takes back all of it, and the next transaction works."""
    store = open_at({"one": [FIRST]})
    with pytest.raises(RuntimeError, match="crash"), store.transaction() as tx:  # noqa: PT012
        tx.executemany("INSERT INTO a VALUES (?)", [(1,), (2,)])
        raise RuntimeError("crash")
    assert count(store) == 0
    with store.transaction() as tx:
        tx.executemany("INSERT INTO a VALUES (?)", [(1,), (2,)])
        tx.executemany("INSERT INTO a VALUES (?)", [])
    assert count(store) == 2


def test_a_view_is_of_one_moment_and_cannot_write(open_at: Open) -> None:
    """A reader sees what was committed when it began, neither waits nor changes anything."""
    store = open_at({"one": [FIRST]})
    with store.reading() as view, store.transaction() as tx:
        assert view.execute("SELECT COUNT(*) FROM a").fetchone() == (0,)
        tx.execute("INSERT INTO a VALUES (1)")
        assert view.execute("SELECT COUNT(*) FROM a").fetchone() == (0,)
    with pytest.raises(Exception, match=r"read-?only"), store.reading() as view:
        view.execute("INSERT INTO a VALUES (2)")
    assert count(store) == 1


def test_columns_keep_what_they_are_given(open_at: Open) -> None:
    """Times keep their microseconds, offsets outgrow 32 bits, bytes and sums come back as such."""
    table = "CREATE TABLE t (at REAL, at_offset INTEGER, value BLOB, name TEXT)"
    store = open_at({"one": [table]})
    row = (1_790_000_000.123456, 2**40, b"\x00\xff", "50% ?")
    with store.transaction() as tx:
        tx.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
        tx.executemany("INSERT INTO t (name) VALUES (?)", [("a",), ("B",), ("ä",)])
    with store.reading() as view:
        assert view.execute("SELECT * FROM t WHERE at IS NOT NULL").fetchone() == row
        total = view.execute("SELECT SUM(at_offset), SUM(at) FROM t").fetchone()
        assert (total, type(total[0])) == ((2**40, row[0]), int)
        names = view.execute("SELECT name FROM t WHERE at IS NULL ORDER BY name").fetchall()
        assert names == [("B",), ("a",), ("ä",)], "by bytes, whatever the server's locale"


ADD = """
import sys
from rlwd.streams.open import open_store
store = open_store(sys.argv[1], {"one": [sys.argv[2]]})
print("open", flush=True)
sys.stdin.readline()
for _ in range(25):
    with store.transaction() as tx:
        tx.execute("UPDATE a SET x = x + 1")
store.close()
"""


def test_processes_that_open_at_once_and_write_at_once_lose_nothing(
    place: Place, open_at: Open
) -> None:
    """Two processes migrate one new database, then each adds 25: there are 50."""
    table = f"{FIRST}; INSERT INTO a VALUES (0)"
    command = [sys.executable, "-c", ADD, str(place), table]
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
    with open_at({"one": [table]}).reading() as view:
        assert view.execute("SELECT x FROM a").fetchall() == [(50,)]


def test_a_statement_that_failed_does_not_commit_the_rest(server: PostgresStore) -> None:
    """The server drops all of a transaction whose statement failed; going on is told, not hidden."""
    with pytest.raises(RuntimeError, match="a statement failed"), server.transaction() as tx:  # noqa: PT012
        tx.execute("INSERT INTO a VALUES (1)")
        with suppress(psycopg.DataError):
            tx.execute("INSERT INTO a VALUES (1/0)")
    assert count(server) == 0


def test_a_connection_that_ends_is_a_connection_error_and_the_next_works(
    server: PostgresStore, url: str
) -> None:
    """The server ends every session, in a transaction and between two; what follows connects anew."""
    end = b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    assert count(server) == 0, "a view's connection is kept"
    with pytest.raises(ConnectionError, match="postgresql "), server.transaction() as tx:  # noqa: PT012
        tx.execute("INSERT INTO a VALUES (1)")
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(end + b" AND datname = current_database()")
        tx.execute("INSERT INTO a VALUES (2)")
    assert count(server) == 0
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(end + b" AND datname = current_database()")
    with server.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (3)")
    assert count(server) == 1


def test_a_server_that_became_a_standby_is_away_until_the_next_connection_finds_a_primary(
    server: PostgresStore, url: str
) -> None:
    """What may only be read is no fault of ours: nothing was written, and it is tried again elsewhere."""
    with psycopg.connect(url, autocommit=True) as admin, server.transaction() as tx:
        # What a standby says; the sessions of a primary that becomes one end with it.
        tx.execute("SET default_transaction_read_only = on")
        admin.execute("INSERT INTO a VALUES (1)")
    with pytest.raises(ConnectionError, match="read-only"), server.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (2)")
    with server.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (3)")
    assert count(server) == 2


def test_who_stops_in_a_transaction_keeps_nobody_waiting(server: PostgresStore, url: str) -> None:
    """A paused process holds its rows for as long as the server allows; it then has written nothing."""
    with server.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (0)")
    other = PostgresStore(url, {"one": [FIRST]}, busy_seconds=10.0)
    with pytest.raises(ConnectionError), server.transaction() as paused:  # noqa: PT012
        paused.execute("UPDATE a SET x = x + 1")
        with other.transaction() as tx:
            tx.execute("UPDATE a SET x = x + 10")
        paused.execute("UPDATE a SET x = x + 1")
    with other.reading() as view:
        assert view.execute("SELECT x FROM a").fetchone() == (10,)
    other.close()


def test_who_stops_while_sending_many_statements_keeps_nobody_waiting_either(url: str) -> None:
    """Paused between two statements of one packet it is not idle to the server, which ends it too."""
    store = PostgresStore(url, {"one": [FIRST]}, busy_seconds=1.0, idle_seconds=1.0)
    with store.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (0)")
    other = PostgresStore(url, {"one": [FIRST]}, busy_seconds=20.0)
    with pytest.raises(ConnectionError), store.transaction() as paused:  # noqa: PT012
        assert store._writer is not None
        # What `executemany` does: statements go out, and no word yet that this was all.
        with store._writer.pipeline():
            paused.execute("UPDATE a SET x = x + 1")
            store._writer.pgconn.send_flush_request()
            store._writer.pgconn.flush()
            until(lambda: _locked(other))
            with other.transaction() as tx:
                tx.execute("UPDATE a SET x = x + 10")
            paused.execute("UPDATE a SET x = x + 1")
    with other.reading() as view:
        assert view.execute("SELECT x FROM a").fetchone() == (10,)
    other.close()
    store.close()


def _locked(store: PostgresStore) -> bool:
    """Return whether somebody has written to a row of `a`, and not committed."""
    asked = (
        "SELECT COUNT(*) FROM pg_locks WHERE relation = 'a'::regclass AND mode = 'RowExclusiveLock'"
    )
    with store.reading() as view:
        return bool(view.execute(asked).fetchone()[0])


def test_a_wait_that_is_too_long_and_a_circle_are_connection_errors(url: str) -> None:
    """Both pass by themselves, so both are what callers try again; the other one commits."""
    two_rows = f"{FIRST}; INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)"
    first, second = (PostgresStore(url, {"one": [two_rows]}, busy_seconds=0.2) for _ in range(2))
    with first.transaction() as tx:
        tx.execute("UPDATE a SET x = 5 WHERE x = 1")
        with pytest.raises(ConnectionError, match="lock timeout"), second.transaction() as late:
            late.execute("UPDATE a SET x = 6 WHERE x = 1")
    with first.reading() as view:
        assert view.execute("SELECT x FROM a ORDER BY x").fetchall() == [(2,), (5,)]
    first.close()
    second.close()


def test_no_server_says_where_and_keeps_the_password(url: str) -> None:
    """Messages name host, port and database, never user or password."""
    nowhere = f"postgresql://rlwd:hidden@127.0.0.1:{free_port()}/state"
    with pytest.raises(ConnectionError, match=r"postgresql 127\.0\.0\.1:\d+/state") as told:
        PostgresStore(nowhere, {})
    assert "hidden" not in str(told.value)
    with pytest.raises(ValueError, match="database: "):
        name_of("postgresql://host/name?nonsense=1")
    with pytest.raises(ValueError, match="there is no state database"), read_only(url):
        pass


def on(topic: str, index: int) -> Partition:
    return Partition(topic=topic, index=index)


@pytest.fixture
def pair(url: str) -> Iterator[tuple[Ledger, Ledger]]:
    """Two members on one database."""
    made = open_ledger(url), open_ledger(url)
    yield made
    for ledger in made:
        ledger.store.close()


def test_two_that_join_at_once_lose_no_feedback_and_never_block_each_other(
    pair: tuple[Ledger, Ledger],
) -> None:
    """Generations come by one member and half of their feedback by the other, all at once.

    Every reward must hold both parts. A member that read an episode's feedback without holding its
    row would write a reward of its own half over the other's.
    """
    rounds, each = 12, 40
    failed: list[Exception] = []
    together = threading.Barrier(2)

    def work(me: int, ledger: Ledger) -> None:
        try:
            for turn in range(rounds):
                mine = [f"m{me}.{turn}.{i}" for i in range(each)]
                theirs = [f"m{1 - me}.{turn}.{i}" for i in range(each)]
                edits = [Edited(final_text="abcx")] * each
                values = [generation(name, 0.0) for name in mine]
                values += [
                    feedback(f"{name}.e", name, edit, 1.0)
                    for name, edit in zip(reversed(mine), edits, strict=True)
                ]
                about = [feedback(f"{name}.a", name, Accepted(), 2.0) for name in theirs]
                together.wait(30.0)
                ledger.take(*values[:each], partition=on("generations", 1 + me))
                together.wait(30.0)
                ledger.take(*about, *values[each:], partition=on("feedback", 1 + me))
        except Exception as problem:  # noqa: BLE001
            failed.append(problem)
            together.abort()

    threads = [threading.Thread(target=work, args=args) for args in enumerate(pair)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert failed == []
    with pair[0].store.reading() as view:
        rows = view.execute("SELECT reward, stage, COUNT(*) FROM episodes GROUP BY reward, stage")
        assert rows.fetchall() == [(0.875, "ready", 2 * rounds * each)]


def test_horizons_close_beside_a_poll_that_is_under_way(
    pair: tuple[Ledger, Ledger],
) -> None:
    """What a poll holds just now is left to the next time, and not censored over its head."""
    polling, closing = pair
    closing.take(generation("held", 0.0), generation("free", 0.0))
    with polling.store.transaction() as tx:
        polling.joiner.resume(tx, [on("feedback", 1)])
    record = Record(
        partition=on("feedback", 1),
        offset=0,
        key=b"s",
        value=feedback("f", "held", Accepted(), 1.0),
    )
    with polling.store.transaction() as tx:
        polling.joiner.ingest(tx, [record], 0.0)
        began = time.monotonic()
        assert closing.close(read_past=1000.0) == 1
        assert time.monotonic() - began < 5.0, "it waited for the poll"
    assert closing.fates() == {"censored:no_decision": 1, "waiting": 1}
    assert closing.close(read_past=1000.0) == 0
    assert closing.fates() == {"censored:no_decision": 1, "waiting": 1}


def test_feedback_on_a_generation_that_never_came_is_buried_once(
    pair: tuple[Ledger, Ledger],
) -> None:
    """Two members close the same orphan at once: one dead letter, and the counts add up."""
    first, second = pair
    second.take(feedback("f", "nowhere", Copied(), 0.0), partition=on("feedback", 0))
    with first.store.transaction() as tx:
        assert first.joiner.close_horizons(tx, 1.0, read_past=1000.0) == 1
        assert second.close(read_past=1000.0) == 0
    assert second.close(read_past=1000.0) == 0
    sql = "SELECT accepted, dead_lettered, delivered FROM offsets WHERE topic = 'feedback'"
    assert first.ask(f"{sql} AND next >= 0") == (0, 1, 1)
    assert first.ask("SELECT COUNT(*) FROM dead_letters") == (1,)


def test_tables_that_fill_are_made_known_to_the_planner(server: PostgresStore, url: str) -> None:
    """Without the server's own analysis, which comes a minute later."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE a SET (autovacuum_enabled = off)")

        def written() -> bool:
            """Write on, and return whether the table is known."""
            with server.transaction() as tx:
                tx.execute("INSERT INTO a SELECT * FROM generate_series(1, 5000)")
            known = other.execute("SELECT reltuples FROM pg_class WHERE oid = 'a'::regclass")
            (rows,) = known.fetchone() or (0.0,)
            return bool(rows >= 5000)

        until(written, pause=0.1)
