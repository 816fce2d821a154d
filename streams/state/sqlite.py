"""Store: the state database; opens it, migrates it by number, hands out transactions.

Each folder owns its tables: it brings its migrations and functions that take a `Transaction`.
"""

import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .transaction import Transaction


class StoreTooNew(RuntimeError):
    """The database was written by a later rlwd; going on could lose what it knows."""


class Store:
    """One SQLite database in WAL mode with `synchronous=FULL`: what is committed survives a crash.

    A transaction takes the write lock when it begins, so two processes wait for each other instead
    of failing half-way. One `Store` may be used from several threads; transactions take turns.
    """

    def __init__(
        self,
        path: Path,
        migrations: Mapping[str, Sequence[str]],
        *,
        busy_seconds: float = 30.0,
    ) -> None:
        self.path, self.name = path, str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._turn = threading.RLock()
        self._connection = sqlite3.connect(
            path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        # Of a new file: what is said comes in pieces of some 2 kB, and few of those fill 4 kB.
        self._connection.execute("PRAGMA page_size=8192")
        self._enter_wal(busy_seconds)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA cache_size=-65536")
        # 40 MB: a page that many polls write is copied into the database once for all of them.
        self._connection.execute("PRAGMA wal_autocheckpoint=5000")
        self._connection.execute("PRAGMA temp_store=MEMORY")
        self._migrate(migrations)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield a transaction that commits at the end of the block, or leaves no trace."""
        with self._turn:
            assert not self._connection.in_transaction, "transactions do not nest"
            self._connection.execute("BEGIN IMMEDIATE")
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

    def _enter_wal(self, busy_seconds: float) -> None:
        """Switch to WAL; SQLite does not wait for another process that switches at this moment."""
        deadline = time.monotonic() + busy_seconds
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def close(self) -> None:
        """Let go of the database."""
        with self._turn:
            self._connection.close()

    def _migrate(self, migrations: Mapping[str, Sequence[str]]) -> None:
        with self.transaction() as tx:
            self._keep_others_out(tx)
            tx.execute(
                "CREATE TABLE IF NOT EXISTS migrations"
                " (folder TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (folder, number))"
            )
            for folder, scripts in migrations.items():
                row = tx.execute(
                    "SELECT COALESCE(MAX(number), 0) FROM migrations WHERE folder = ?", (folder,)
                ).fetchone()
                if row[0] > len(scripts):
                    raise StoreTooNew(
                        f"{self.name}: {folder} is at migration {row[0]}, this rlwd knows"
                        f" {len(scripts)}: run the newer rlwd, or restore an older state"
                    )
                for number, script in enumerate(scripts[row[0] :], start=row[0] + 1):
                    for statement in filter(str.strip, script.split(";")):
                        tx.execute(self._in_dialect(statement))
                    tx.execute("INSERT INTO migrations VALUES (?, ?)", (folder, number))

    def _keep_others_out(self, tx: Transaction) -> None:
        """Let nobody else migrate until the transaction ends; here beginning it did that."""

    def _in_dialect(self, statement: str) -> str:
        """Return a migration's statement as this database takes it.

        They are written for SQLite, but for what no other database would skip over: that is in
        comments.
        """
        return re.sub(r"/\* ([A-Z ]+) \*/", r"\1", statement).replace("BIGSERIAL", "INTEGER")
