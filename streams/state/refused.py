"""Refused: a server is there and lets us not in, which trying again does not change."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

_SAYS_NO = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|certificate verify failed"
    r"|root certificate|(role|database) .* does not exist|is not permitted to log in"
    r"|server does not support SSL"
)
"""What PostgreSQL says where it lets us not in. libpq 15 hands out no code for it, only the words: those of
a server that speaks another language than English read as if it were away."""


class Refused(ConnectionError):
    """What we showed is not accepted: a password, a certificate, a way of logging in.

    The message names the key of the config. While a process runs it is as good as away, since
    somebody may be changing it just then; at a start an operator has to put it right first.
    """


@contextmanager
def telling_refusals(name: str, kind: type[Exception]) -> Iterator[None]:
    """Turn the client's error into Refused where a database's server says that it lets us not in."""
    try:
        yield
    except kind as problem:
        said = str(problem).strip()
        if not _SAYS_NO.search(said):
            raise
        raise Refused(f"database: {name}: {said}: correct it, or the server") from problem
