"""PostgresStore: the state database on a PostgreSQL server, for several daemons in the ingest role.

The same tables, statements and promises as SqliteStore's. What differs:

- Transactions run at READ COMMITTED and write at the same time. Each one locks the rows that it
  decides about before it reads what the decision rests on (`transaction.row_lock`, the join's
  placeholder rows), always in one order, so what it reads afterwards is all that was committed.
  SERIALIZABLE would keep the same rules by failing whole polls of thousands of records whenever two
  daemons touch neighbouring rows, and each poll would be joined and scored again.
- Offsets and the lease move by conditional updates, which PostgreSQL checks again on the newest row.
- A process that stops inside a transaction holds its locks; the server ends it after
  `idle_seconds`, so that a process which stands still keeps nobody waiting. One that stops while it sends many
  statements at once is not idle to the server: from PostgreSQL 17 on that ends after `busy_seconds`
  and `idle_seconds` together, before that when its host ends the process.
- A lost connection, a deadlock or a wait that is too long is a ConnectionError; the transaction left
  no trace, except that after a connection lost in COMMIT nobody knows. The offsets then tell.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.conninfo import conninfo_to_dict

from .migration import migrate
from .postgres_dialect import in_dialect, placed
from .postgres_statistics import PlannerHelp
from .postgres_vacuum import vacuum
from .refused import telling_refusals
from .transaction import Rows, Transaction

_PASSING = (
    psycopg.OperationalError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
_HAS_TRANSACTION_TIMEOUT = 170_000
_MIGRATING = 0x726C7764  # Key of the advisory lock that a migration holds: `rlwd`.
_KEPT_VIEWS = 4


class PostgresStore:
    """One schema of a PostgreSQL database; what is committed survives a crash of the server.

    `url` is a libpq URL; its `options=-csearch_path=NAME` chooses another schema than the default.
    May be used from several threads; transactions take turns, views do not.
    """

    def __init__(
        self,
        url: str,
        migrations: Mapping[str, Sequence[str]],
        *,
        changing: Callable[[Transaction], None] = lambda _: None,
        busy_seconds: float = 30.0,
        idle_seconds: float = 15.0,
    ) -> None:
        self.url, self.name = url, name_of(url)
        self._settings = {
            "lock_timeout": f"{int(busy_seconds * 1000)}",
            "idle_in_transaction_session_timeout": f"{int(idle_seconds * 1000)}",
        }
        self._transaction_timeout = f"{int((busy_seconds + idle_seconds) * 1000)}"
        self._turn = threading.RLock()
        self._planner_help = PlannerHelp(lambda: connect(url), time.monotonic())
        self._writer: psycopg.Connection[Any] | None = None
        self._views: list[psycopg.Connection[Any]] = []
        try:
            with self.transaction() as tx:
                self._keep_others_out(tx)
                migrate(tx, self.name, migrations, in_dialect, changing)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield a transaction that commits at the end of the block, or leaves no trace.

        Raises ConnectionError where the server is away, is a standby, ends it, or finds two in a circle.
        """
        with self._turn, _connecting(self.name):
            connection = self._begin()
            try:
                yield PostgresTransaction(connection)
            except BaseException as problem:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                if isinstance(problem, psycopg.errors.ReadOnlySqlTransaction):
                    # A standby, in the midst of a failover; the next connection may lead to the primary.
                    connection.close()
                    raise ConnectionError(f"{self.name}: {str(problem).strip()}") from problem
                raise
            if connection.execute("COMMIT").statusmessage != "COMMIT":
                raise RuntimeError(f"{self.name}: a statement failed and the block went on")
            with suppress(psycopg.Error):  # What was committed stands whatever comes of it.
                self._planner_help.look(connection, time.monotonic())

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a consistent view that writers need not wait for; ConnectionError as above."""
        with _connecting(self.name):
            view = self._view()
            try:
                yield PostgresTransaction(view)
                view.execute("COMMIT")
            except BaseException:
                view.close()
                raise
            if len(self._views) < _KEPT_VIEWS:
                self._views.append(view)
            else:
                view.close()

    def scrub(self, tables: Sequence[str] = (), *, rewrite: bool = False) -> bool:
        """Vacuum these tables; return whether their files hold no deleted row any more.

        False without `rewrite`: what is deleted can be read by nobody, and its room is written over
        as it is needed. Raises ConnectionError where others keep a table for too long.
        """
        with _connecting(self.name), connect(self.url) as connection:
            timeout = self._settings["lock_timeout"]
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (timeout,))
            return vacuum(connection, tables, rewrite=rewrite) and rewrite

    def close(self) -> None:
        """Let go of the database."""
        with self._turn:
            while self._views:
                self._views.pop().close()
            if self._writer is not None:
                self._writer.close()

    def _begin(self) -> psycopg.Connection[Any]:
        """Begin on the writer's connection, or on a new one where the old one is gone."""
        if self._writer is not None and not self._writer.closed:
            assert self._writer.info.transaction_status == 0, "transactions do not nest"
            try:
                self._writer.execute("BEGIN")
            except psycopg.OperationalError:
                self._writer.close()
            else:
                return self._writer
        self._writer = connect(self.url)
        settings = dict(self._settings)
        if self._writer.info.server_version >= _HAS_TRANSACTION_TIMEOUT:
            settings["transaction_timeout"] = self._transaction_timeout
        for setting, value in settings.items():
            self._writer.execute("SELECT set_config(%s, %s, false)", (setting, value))
        self._writer.execute("BEGIN")
        return self._writer

    def _view(self) -> psycopg.Connection[Any]:
        """Begin a view on a kept connection, or on a new one; any thread may ask."""
        with suppress(IndexError, psycopg.OperationalError):
            return _begin_view(self._views.pop())
        return _begin_view(connect(self.url))

    def _keep_others_out(self, tx: Transaction) -> None:
        """Let nobody else migrate this schema until the transaction ends."""
        assert self._writer is not None, "a migration runs in a transaction"
        if self._writer.info.server_version >= _HAS_TRANSACTION_TIMEOUT:
            # A migration may move millions of rows.
            tx.execute("SET LOCAL transaction_timeout = 0")
        tx.execute(f"SELECT pg_advisory_xact_lock({_MIGRATING}, hashtext(current_schema()))")


class PostgresTransaction:
    """Statements in an open transaction of PostgreSQL; placeholders are `?` here too."""

    shared = True
    """Others write at the same time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Any = (), /) -> Rows:
        """Run one statement."""
        return self._connection.execute(placed(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Rows:
        """Run one statement for each row of parameters."""
        cursor = self._connection.cursor()
        rows = list(parameters)
        if rows:
            cursor.executemany(placed(sql), rows)
        return cursor


class _Number(Loader):
    """Sums of whole numbers come as NUMERIC; here they stay whole, as in SQLite."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text or "N" in text else int(text)


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect; raises ConnectionError, naming the server and not the password, Refused where it is wrong."""
    name = name_of(url)
    with _connecting(name), telling_refusals(name, psycopg.OperationalError):
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    connection.adapters.register_loader("numeric", _Number)
    return connection


@contextmanager
def read_only(url: str) -> Iterator[Transaction]:
    """Yield a view of a state database that nothing is written to, not even a migration.

    Raises ConnectionError where no server answers, ValueError where it lacks a table of rlwd's.
    """
    with _connecting(name_of(url)), connect(url) as connection:
        view = PostgresTransaction(_begin_view(connection))
        if view.execute("SELECT to_regclass('migrations')").fetchone() == (None,):
            raise ValueError(f"{name_of(url)}: there is no state database; `rlwd run` makes it")
        try:
            yield view
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as problem:
            lacks = problem.diag.message_primary
            raise ValueError(f"{name_of(url)}: {lacks}; `rlwd run` migrates it") from None


def name_of(url: str) -> str:
    """Return where a database is, without user and password; raises ValueError for no such URL."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error as problem:
        raise ValueError(f"database: {problem}") from problem
    host = parts.get("host") or parts.get("hostaddr") or "local"
    return f"postgresql {host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def _begin_view(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return connection


@contextmanager
def _connecting(name: str) -> Iterator[None]:
    """Turn what passes by itself into ConnectionError: server away, deadlock, too long a wait."""
    try:
        yield
    except _PASSING as problem:
        raise ConnectionError(f"{name}: {str(problem).strip()}") from problem
