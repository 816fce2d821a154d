"""Bulk: many rows to one statement, for any table."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from .transaction import Transaction

AT_ONCE = 100
"""Most ids that one query asks for."""
VALUES_AT_ONCE = 1_000
"""Most values that one statement writes; SQLite takes 32,766, and from here on more bring nothing."""


def insert_rows(
    tx: Transaction, head: str, rows: Sequence[tuple[Any, ...]], tail: str = ""
) -> list[Any]:
    """Insert rows, many to a statement; return all that the statements returned."""
    found: list[Any] = []
    if not rows:
        return found
    width = len(rows[0])
    marks = "(" + ",".join("?" * width) + ")"
    most = VALUES_AT_ONCE // width
    for start in range(0, len(rows), most):
        chunk = rows[start : start + most]
        values = list(chain.from_iterable(chunk))
        done = tx.execute(head + ",".join([marks] * len(chunk)) + tail, values)
        if "RETURNING" in tail:
            found += done.fetchall()
    return found


def by_ids(ids: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield placeholders and ids, as many at a time as one query takes."""
    for start in range(0, len(ids), AT_ONCE):
        chunk = ids[start : start + AT_ONCE]
        yield ",".join("?" * len(chunk)), chunk
