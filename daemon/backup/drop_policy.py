"""Drop policy: every row of a policy that is given up, taken out of a database that others may share.

Tables are the database's own list (`tables.shapes`), so that none is forgotten; others' rows stay as they are.
"""

import sys
import time
from dataclasses import dataclass

from ...streams.state.lease import keep_daemon_waiting, read_holder
from ...streams.state.sqlite import SqliteStore
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..config import Config
from ..erasures.person import scrubbed
from ..store import existing_store
from .tables import counted, without_time_limit

NOT_REACHED = (
    "its topics on the log, until their retention ends or they are deleted",
    "gateways' spools, until a segment is full, what the log refused for its size, stream.data_folder",
    "its state folder (checkpoints, batches, readers, benchmarks, reports, flags): delete it too",
    "the list of erasures, by which nobody who was erased comes back; it holds keyed hashes alone",
    "MLflow: runs, model versions and traces of its experiment",
    "adapters of its versions in engines, until these are restarted",
    "backups, what `rlwd export` wrote, copies of the database",
)
"""Where more of a policy stands than in the state database."""
ON_SERVER = "PostgreSQL's write-ahead log, its archive, replicas that lag, and base backups"
NOT_REWRITTEN = (
    "the room of deleted rows in the tables' files until it is written over: `--rewrite`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedPolicy:
    """What was dropped, or would be."""

    database: str
    """Where; without a password."""
    rows: dict[str, int]
    """How many rows, by table; those that hold some."""
    dropped: bool
    """Whether they are gone."""
    on_server: bool
    """Whether a server holds the database."""
    bytes_gone: bool = False
    """Whether the files of the tables hold none of it any more."""
    left: int = 0
    """Rows that are there again: something of this policy still writes."""


def run_drop(config: Config, policy: str, *, dropping: bool, rewrite: bool = False) -> int:
    """Drop, or say what would be, table by table; return 1 where it has to be run (again)."""
    found = drop_policy(config, policy, dropping=dropping, rewrite=rewrite)
    for table, count in found.rows.items():
        print(f"{table} {count}")
    total = f"{sum(found.rows.values())} rows of {policy} in {len(found.rows)} tables"
    if not found.dropped:
        _say(f"{total} of {found.database}; nothing is deleted yet: `--yes` deletes them")
        return 1
    _say(f"{total} are deleted from {found.database}")
    left = (*NOT_REACHED, *(ON_SERVER,) * found.on_server)
    for place in (*left, *(NOT_REWRITTEN,) * (found.on_server and not rewrite)):
        _say(f"not reached: {place}")
    if found.left:
        _say(f"{found.left} rows are there again: stop what still writes them, and drop it again")
    held = not found.bytes_gone and (rewrite or not found.on_server)
    if held:
        _say(
            "the tables' files still hold it, since somebody reads them: until the last one has closed"
            " SQLite's; on a server until `VACUUM FULL` of these tables"
        )
    return int(bool(found.left) or held)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def drop_policy(
    config: Config, policy: str, *, dropping: bool, rewrite: bool = False
) -> DroppedPolicy:
    """Delete every row of a policy in the config's database, in one transaction; or only count them.

    With `rewrite` a server writes the files of its tables anew. Raises ValueError where a daemon of that
    policy is in charge, or where it has no row, with the policies that have.
    """
    store = existing_store(config)
    on_server = not isinstance(store, SqliteStore)
    try:
        if not dropping:
            with store.reading() as view:
                rows = _checked(view, store, policy)
            return DroppedPolicy(database=store.name, rows=rows, dropped=False, on_server=on_server)
        with store.transaction() as tx:
            if on_server:
                without_time_limit(tx)
            keep_daemon_waiting(tx, policy)
            rows = _checked(tx, store, policy)
            for table in rows:
                tx.execute(f'DELETE FROM "{table}" WHERE policy = ?', (policy,))
        gone = scrubbed(store, tuple(rows), rewrite=rewrite)
        with store.reading() as view:
            left = sum(counted(view, policy).values())
        return DroppedPolicy(
            database=store.name,
            rows=rows,
            dropped=True,
            on_server=on_server,
            bytes_gone=gone,
            left=left,
        )
    finally:
        store.close()


def _checked(view: Transaction, store: Store, policy: str) -> dict[str, int]:
    """Return how many rows of a policy each table has that has some; it is nobody's at the moment."""
    holder = read_holder(view, policy, time.time())
    if holder is not None and holder.alive:
        raise ValueError(
            f"{policy}: process {holder.pid} on {holder.host} is in charge: stop its daemon first, and"
            " every ingest member of it"
        )
    rows = {table: count for table, count in counted(view, policy).items() if count}
    if not rows:
        others = [
            name
            for (name,) in view.execute(
                "SELECT policy FROM leases UNION SELECT policy FROM offsets ORDER BY policy"
            ).fetchall()
        ]
        raise ValueError(
            f"{policy}: has no row in {store.name}; there are rows of {', '.join(others) or 'nobody'}"
        )
    return rows
