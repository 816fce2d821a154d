"""Move database: the state database from SQLite's file to a PostgreSQL server, or from one server to another."""

import time
from pathlib import Path

import msgspec

from ...streams.secret_values import read_secret
from ...streams.state.lease import read_holder
from ..config import Config
from ..store import existing_store, state_store
from .tables import copy_tables


def move_database(config: Config, to: str) -> dict[str, int]:
    """Copy a policy's rows of every table into a server's database, in one transaction; return them by table.

    Nothing else may write meanwhile, and the old database stays as it is. Raises ValueError where a
    daemon is in charge, where `to` is no server's URL, or where it holds rows of the policy already.
    """
    url = read_secret("--to", to)
    target_config = msgspec.structs.replace(config, database=url)
    if isinstance(target_config.state_database, Path):
        raise ValueError("--to: must be postgresql://…, $NAME of a variable or file:PATH")
    source = existing_store(config)
    try:
        with source.reading() as view:
            holder = read_holder(view, config.policy, time.time())
        if holder is not None and holder.alive:
            raise ValueError(
                f"process {holder.pid} on {holder.host} is in charge: stop the daemon first, and"
                " every ingest member"
            )
        target = state_store(target_config)
        try:
            # A transaction keeps others from writing to SQLite's file; a server's would run out of time.
            server = isinstance(config.state_database, str)
            held = source.reading() if server else source.transaction()
            with held as view, target.transaction() as tx:
                return copy_tables(view, tx, config.policy)
        finally:
            target.close()
    finally:
        source.close()
