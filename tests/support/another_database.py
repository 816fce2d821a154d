"""Another database: one of a test's own on the session's PostgreSQL server, for who types `createdb`."""

import os
from urllib.parse import parse_qs, urlsplit


def another_database(postgres_url: str, name: str) -> tuple[dict[str, str], str]:
    """Return how libpq finds the server, and the URL of a database of ours that is not there yet."""
    parts = urlsplit(postgres_url)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    found = {"PGHOST": host, "PGUSER": parts.username or "postgres"}
    if parts.port:
        found["PGPORT"] = str(parts.port)
    return found, parts._replace(path=f"/{name}{os.getpid()}").geturl()
