"""Places for a state database: a file of SQLite, or a schema of a PostgreSQL server."""

import uuid
from pathlib import Path

Place = Path | str
"""What `open_store` takes."""


def new_schema(url: str) -> str:
    """Make an empty schema on a server; return the URL that uses it."""
    import psycopg

    name = f"s{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{url}&options=-csearch_path%3D{name}"
