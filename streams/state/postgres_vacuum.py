"""Postgres vacuum: what is deleted on a PostgreSQL server, out of reach or out of the files.

A deleted row stays in its table's file until VACUUM makes its room free, and the bytes in that room until
something else is written there; only VACUUM FULL writes a new file without them. Neither changes the
write-ahead log: its segments hold what was written until the server overwrites or removes them.
"""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

_NUMBER = re.compile(r"\d+")


def vacuum(connection: psycopg.Connection[Any], tables: Sequence[str], *, rewrite: bool) -> bool:
    """Vacuum tables of the current schema, outside any transaction; return whether no row is left over.

    With `rewrite` each table's file and those of its indexes are written anew: nobody reads or writes
    the table meanwhile, and the disk needs room for it twice. False: a transaction, a replica or a
    prepared transaction that began before may still read deleted rows, so the server had to keep them.
    """
    left = list[str]()
    connection.add_notice_handler(lambda told: left.append(told.message_detail or ""))
    # Verbose, since the server counts the rows that it may not remove nowhere else.
    options = sql.SQL("FULL, VERBOSE" if rewrite else "VERBOSE")
    connection.execute("SET client_min_messages = info")
    for table in tables:
        connection.execute(
            sql.SQL("VACUUM ({}) {}").format(options, sql.Identifier(table)), prepare=False
        )
    # Of VACUUM FULL the detail's first number counts them, in whatever language.
    return not rewrite or not any(
        int(found[0]) for detail in left if (found := _NUMBER.search(detail)) is not None
    )
