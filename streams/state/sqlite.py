"""SqliteStore: the state database in one file, the default."""

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .migration import migrate
from .sqlite_problem import is_busy, sqlite_problem
from .transaction import Transaction

# Python's driver looks for a way to adapt every value that is no number and no text: for half a
# microsecond each, in vain. A poll binds some ten thousand of these, which are stored as they are.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), dict[None, None]().get)


class SqliteStore:
    """One SQLite database in WAL mode with `synchronous=FULL`: what is committed survives a crash.

    A transaction takes the write lock when it begins, so two processes wait for each other instead
    of failing half-way. One store may be used from several threads; transactions take turns.
    """

    def __init__(
        self,
        path: Path,
        migrations: Mapping[str, Sequence[str]],
        *,
        changing: Callable[[Transaction], None] = lambda _: None,
        busy_seconds: float = 30.0,
    ) -> None:
        self.path, self.name = path, str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._turn = threading.RLock()
        self._connection = sqlite3.connect(
            path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        self._refuse_strangers()
        # Of a new file: records are some 2 kB long, and few of them fill a page of 4 kB.
        self._connection.execute("PRAGMA page_size=8192")
        self._enter_wal(busy_seconds)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA cache_size=-65536")
        # 40 MB: a page that many polls write is copied into the database once for all of them.
        self._connection.execute("PRAGMA wal_autocheckpoint=5000")
        self._connection.execute("PRAGMA temp_store=MEMORY")
        # What is deleted is overwritten: forgotten is not only out of sight.
        self._connection.execute("PRAGMA secure_delete=ON")
        # Nobody else migrates meanwhile: a transaction here is the only one that writes.
        with self.transaction() as tx:
            migrate(tx, self.name, migrations, _in_dialect, changing)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield a transaction that commits at the end of the block, or leaves no trace.

        Raises TimeoutError, which passes as a server's absence does, where another process holds the
        file for too long.
        """
        with self._turn:
            assert not self._connection.in_transaction, "transactions do not nest"
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as problem:
                if is_busy(problem):
                    raise TimeoutError(sqlite_problem(self.path, problem)) from problem
                raise
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a consistent view that writers need not wait for."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        view = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            view.execute("BEGIN")
            yield view
        finally:
            view.close()

    def _refuse_strangers(self) -> None:
        """Raise DatabaseError where the file is another program's, before anything is changed in it."""
        tables = {
            name
            for (name,) in self._connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            )
        }
        if tables and "migrations" not in tables:
            raise sqlite3.DatabaseError(
                f"holds {', '.join(sorted(tables)[:3])} and no table of rlwd's"
            )

    def _enter_wal(self, busy_seconds: float) -> None:
        """Switch to WAL; SQLite does not wait for another process that switches at this moment."""
        deadline = time.monotonic() + busy_seconds
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as problem:
                if not is_busy(problem) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def scrub(self, tables: Sequence[str] = (), *, rewrite: bool = False) -> bool:
        """Take what was overwritten out of the write-ahead log, too; False while a reader holds it.

        Deleted rows are overwritten at once, in every table.
        """
        with self._turn:
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def close(self) -> None:
        """Let go of the database."""
        with self._turn:
            self._connection.close()


def _in_dialect(statement: str) -> str:
    """Return a migration's statement with what SQLite alone understands taken out of comments."""
    return re.sub(r"/\* ([A-Z ]+) \*/", r"\1", statement).replace("BIGSERIAL", "INTEGER")
