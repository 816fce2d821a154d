"""What a PostgreSQL server's planner is told of tables that fill, beside the work and in nobody's way.

The server's own analysis is switched off here: it comes a minute later, or after a tenth of a table has changed.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from places_by_hand import new_schema
from waiting import until

from rlwd.streams.state.postgres import PostgresStore
from rlwd.streams.state.postgres_statistics import PlannerHelp

TABLE = (
    "CREATE TABLE a (policy TEXT NOT NULL, id TEXT NOT NULL, due REAL NOT NULL, PRIMARY KEY (policy, id));"
    "CREATE INDEX a_due ON a (policy, due)"
)
FILL = "INSERT INTO a SELECT ?, clock_timestamp() || '-' || g, g FROM generate_series(1, 2000) g"
LISTED = "SELECT most_common_vals::text::text[] FROM pg_stats WHERE schemaname = current_schema() AND attname = 'policy'"

Server = psycopg.Connection[Any]


@pytest.fixture(params=["", "Acme-1"])
def url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A schema of any name on the server, which analyses nothing in it by itself."""
    if not request.param:
        yield new_schema(postgres_url)
        return
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute('CREATE SCHEMA "Acme-1"')
        path = quote('-csearch_path="Acme-1"')
        yield f"{postgres_url}&options={path}"
        admin.execute('DROP SCHEMA "Acme-1" CASCADE')


@pytest.fixture
def other(url: str) -> Iterator[Server]:
    """A connection beside the store's."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(url: str, other: Server) -> Iterator[PostgresStore]:
    """A store with one table that policies share."""
    opened = PostgresStore(url, {"one": [TABLE]}, busy_seconds=600.0)
    other.execute("ALTER TABLE a SET (autovacuum_enabled = off)")
    yield opened
    opened.close()


def fill(store: PostgresStore, policy: str) -> None:
    with store.transaction() as tx:
        tx.execute(FILL, (policy,))


def listed(other: Server) -> list[str]:
    """Return the policies that the table's statistics name."""
    found = other.execute(LISTED).fetchone()
    return sorted(found[0] or []) if found else []


def by_id(other: Server, policy: str) -> str:
    """Return how the server would find one row."""
    asked = "EXPLAIN SELECT due FROM a WHERE policy = %s AND id = 'x'"
    return str((other.execute(asked, (policy,)).fetchone() or ("",))[0])


def test_a_policy_that_joins_others_is_made_known(store: PostgresStore, other: Server) -> None:
    """The other one's rows are known, and that a tenth of them changes is not waited for."""

    def known(policy: str) -> bool:
        fill(store, policy)
        return policy in listed(other)

    until(lambda: known("old"), pause=0.1)
    with store.transaction() as tx:
        tx.execute(FILL.replace("2000", "60000"), ("old",))
    other.execute("ANALYZE a")
    assert listed(other) == ["old"]
    until(lambda: known("new"), pause=0.1)
    assert "a_pkey" in by_id(other, "new")


def test_a_table_that_somebody_holds_keeps_nobody_waiting(
    store: PostgresStore, other: Server
) -> None:
    """While its file is written anew, say, the store works on."""
    fill(store, "old")
    done = threading.Event()

    def work() -> None:
        began = time.monotonic()
        while time.monotonic() < began + 1.5:  # The store looks once a second.
            with store.transaction() as tx:
                tx.execute("SELECT 1")
        done.set()

    thread = threading.Thread(target=work)
    other.execute("BEGIN")
    try:
        other.execute("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
        thread.start()
        until(done.is_set, 30.0)
    finally:
        other.execute("ROLLBACK")
        thread.join()


@pytest.mark.parametrize("owns", [True, False])
def test_only_its_own_tables_are_analysed(store: PostgresStore, other: Server, owns: bool) -> None:
    """A role without the right asks for nothing: each refusal would be a line in the server's log."""
    come_and_go(other)
    role = f"r{time.time_ns()}"
    (schema,) = other.execute("SELECT quote_ident(current_schema())").fetchone() or ("",)
    other.execute(f"CREATE ROLE {role}".encode())
    other.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}".encode())
    if owns:
        other.execute(f"ALTER TABLE a OWNER TO {role}".encode())
    other.execute(f"SET ROLE {role}".encode())
    asked = list[str]()

    def connect() -> Server:
        asked.append(role)
        raise ConnectionError

    looked(PlannerHelp(connect, 0.0), other, 2.0)
    assert bool(asked) is owns


def come_and_go(other: Server) -> None:
    """Write rows and delete them again, and have the server count that."""
    other.execute(FILL.replace("?", "'old'").encode())
    other.execute("DELETE FROM a")
    other.execute("SELECT pg_stat_force_next_flush()")


def looked(ours: PlannerHelp, other: Server, now: float) -> None:
    """Look, and wait for what comes of it."""
    ours.look(other, now)
    if ours._thread is not None:
        ours._thread.join()


def test_what_stays_unknown_is_analysed_less_and_less_often(
    store: PostgresStore, other: Server, url: str
) -> None:
    """A table whose rows are gone again at each look is not read once a second for ever."""
    ours = PlannerHelp(lambda: psycopg.connect(url, autocommit=True), 0.0)
    asked, at = "SELECT pg_stat_get_analyze_count('a'::regclass)", list[int]()
    for second in range(1, 40):
        before = other.execute(asked).fetchone()
        come_and_go(other)
        looked(ours, other, float(second))
        if other.execute(asked).fetchone() != before:
            at.append(second)
    assert at == [1, 2, 4, 8, 16, 32]
