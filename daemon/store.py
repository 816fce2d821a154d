"""Store: opens the state database of a configuration with the tables of every folder."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from ..learner.ledger import checkpoints_table, seal
from ..ops.rollout import candidates_table
from ..streams.open import open_store
from ..streams.state import lease
from ..streams.state.sqlite_problem import is_busy, sqlite_problem
from ..streams.state.store import Store
from ..streams.state.transaction import Transaction
from .config import Config

TABLES = {
    "daemon": (*checkpoints_table.MIGRATIONS, *lease.MIGRATIONS, *seal.MIGRATIONS),
    "ops": candidates_table.MIGRATIONS,
}
"""Tables of the state database beside those of the join, by folder."""
LEASED = len(checkpoints_table.MIGRATIONS) + len(lease.MIGRATIONS)
"""From this migration of `daemon` on there are leases."""

RESTORING = "RESTORING"
"""Stands in the state folder while a restore is under way, and after one that was cut off."""


def state_store(config: Config) -> Store:
    """Open the state database, making and migrating it where need be.

    Raises ValueError where the file is damaged, or none of rlwd's, or where a restore did not come to its
    end: beside half of a state an empty one would begin anew. Raises LeaseHeld where it is to be migrated
    and a daemon, of an older rlwd then, works on it.
    """
    refuse_half(config.state_path)
    return open_database(config)


def open_database(config: Config) -> Store:
    """Open the state database as `state_store` does, while a restore is under way."""

    def changing(tx: Transaction) -> None:
        found = tx.execute("SELECT MAX(number) FROM migrations WHERE folder = 'daemon'").fetchone()
        if (found[0] or 0) >= LEASED:
            lease.refuse_beside_holder(tx, "the state database", time.time())

    with opening(config.state_database):
        return open_store(config.state_database, TABLES, changing)


@contextlib.contextmanager
def opening(place: Path | str) -> Iterator[None]:
    """Keep a database's file to its owner, and name it where it cannot be opened.

    Raises ValueError, or ConnectionError where another process holds it.
    """
    try:
        yield
    except sqlite3.Error as problem:
        kind = ConnectionError if is_busy(problem) else ValueError
        raise kind(sqlite_problem(Path(place), problem)) from problem
    if isinstance(place, Path) and place.exists():
        # What people and models wrote stands in it; SQLite's files beside it follow suit.
        place.chmod(0o600)


def existing_store(config: Config) -> Store:
    """Open the state database of a daemon that has run; raises ValueError where none ever did."""
    refuse_half(config.state_path)
    place = config.state_database
    if isinstance(place, Path) and not place.exists():
        raise ValueError(f"{place}: there is no state database; `rlwd run` makes it")
    return state_store(config)


@contextlib.contextmanager
def state_view(path: Path | str) -> Iterator[Transaction]:
    """Yield a view of a state database that nothing is written to, not even a migration.

    Raises ValueError where there is none, ConnectionError where its server is away.
    """
    if isinstance(path, str):
        # Here, because only who names a server needs its client.
        from ..streams.state.postgres import read_only

        with read_only(path) as view:
            yield view
        return
    if not path.is_file():
        refuse_half(path.parent)
        raise ValueError(f"{path}: there is no state database; `rlwd run` makes it")
    opened = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        opened.execute("BEGIN")
        yield opened
    finally:
        opened.close()


def refuse_half(state: Path) -> None:
    """Raise ValueError, with the command to give, where a state folder holds half of a restore."""
    mark = state / RESTORING
    if mark.exists():
        backup = mark.read_text(errors="replace").strip()
        raise ValueError(
            f"{mark}: a restore is under way, or was cut off: `rlwd restore {backup or 'FOLDER'}` again"
        )
