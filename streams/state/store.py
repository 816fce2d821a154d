"""Store: the state database as all folders know it, whichever server holds it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from .transaction import Transaction


class Store(Protocol):
    """A state database: what a transaction committed survives a crash.

    Each folder owns its tables: it brings their migrations, and functions that take a
    `Transaction`. A store may be used from several threads.
    """

    @property
    def name(self) -> str:
        """What to call this database in a message; it holds no password."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Yield a transaction that commits at the end of the block, or leaves no trace.

        Transactions of one store take turns and do not nest. Raises ConnectionError where a server
        is away, TimeoutError where another process holds the database for too long.
        """
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """Yield a consistent view, which no writer has to wait for."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


@runtime_checkable
class Scrubs(Protocol):
    """A store that gets out of its files what was deleted."""

    def scrub(self, tables: Sequence[str] = (), *, rewrite: bool = False) -> bool:
        """Get deleted rows of these tables out of the files; return whether they are.

        A server writes the files anew only with `rewrite`, and its write-ahead log is its own.
        """
        ...
