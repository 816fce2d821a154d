"""Postgres dialect: statements that are written once, for SQLite, as a PostgreSQL server takes them."""

import functools
import re

_TYPES = {
    # Offsets outgrow 4 bytes, and a 4-byte REAL cannot tell two seconds of one minute apart.
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
    "BLOB": "BYTEA",
    # Sorted by bytes, as SQLite does, and not by whatever locale the server was set up with.
    "TEXT": 'TEXT COLLATE "C"',
}


def in_dialect(statement: str) -> str:
    """Return a migration's statement with PostgreSQL's names of types."""
    return re.sub(r"\b(INTEGER|REAL|BLOB|TEXT)\b", lambda found: _TYPES[found[0]], statement)


@functools.lru_cache(maxsize=512)
def placed(sql: str) -> bytes:
    """Return a statement with psycopg's placeholders; no literal of ours holds a `?`."""
    return sql.replace("%", "%%").replace("?", "%s").encode()
