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
