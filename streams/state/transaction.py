"""Transaction: what a folder may do with the state database while a transaction is open."""

from collections.abc import Iterable
from typing import Any, Protocol

Row = tuple[Any, ...]


class Rows(Protocol):
    """Result of one statement."""

    @property
    def rowcount(self) -> int:
        """Rows changed; -1 for a query."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...


class Transaction(Protocol):
    """Statements that take effect together or not at all. Placeholders are `?`."""

    def execute(self, sql: str, parameters: Any = (), /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Rows:
        """Run one statement for each row of parameters."""
        ...


def is_shared(tx: Transaction) -> bool:
    """Return whether other transactions may write at the same time, so that rows need locks."""
    return bool(getattr(tx, "shared", False))


def hold_key(tx: Transaction, key: int, *, alone: bool) -> None:
    """Hold a key until the transaction ends: together with others, or `alone`.

    Waits while another transaction holds it alone; with `alone`, while any other one holds it.
    Does nothing where only one transaction writes at a time.
    """
    if is_shared(tx):
        kind = "" if alone else "_shared"
        tx.execute(f"SELECT pg_advisory_xact_lock{kind}(?)", (key,)).fetchone()


def row_lock(tx: Transaction, *, skip: bool = False) -> str:
    """Return the end of a SELECT that keeps its rows from all others until the transaction ends.

    With `skip` rows that another transaction holds are left out instead of waited for. Nothing
    where only one transaction writes at a time.
    """
    if not is_shared(tx):
        return ""
    return " FOR UPDATE SKIP LOCKED" if skip else " FOR UPDATE"
