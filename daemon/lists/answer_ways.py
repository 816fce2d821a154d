"""Answer ways: by which index a list of answers is read, so that what is not shown is not read."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from ...streams.answers.answer_rows import LATEST
from ...streams.join.episodes_table import ENDED
from ..http.query import AskedWrongly, ListPlace

DAY = 86_400
"""Seconds."""
CONTENT = "c.id"
WHOLE = (CONTENT, "e.batch_id")
"""What is ordered by whole numbers."""


class Way(NamedTuple):
    """How a list is read: by which index, in which order."""

    table: str
    """Where the rows are."""
    where: str
    """Which, beside the policy, with its placeholders."""
    values: tuple[Any, ...]
    """What stands for these."""
    number: str
    """What the rows are ordered by first."""
    name: str
    """What they are ordered by next; empty where no two have the same number."""
    down: bool
    """Whether the greatest comes first."""
    said: str
    """The order in words."""

    def sql(self, after: ListPlace | None, limit: int, signal: str) -> tuple[str, tuple[Any, ...]]:
        """Return the query of the rows behind a place."""
        sign, way = ("<", "DESC") if self.down else (">", "ASC")
        keys = [self.number, *([self.name] if self.name else [])]
        values: tuple[Any, ...] = ()
        if after is not None:
            # A whole number as one: PostgreSQL compares it by the index then.
            number = int(after.number) if self.number in WHOLE else after.number
            values = (number, after.name)[: len(keys)]
        behind = f" AND ({', '.join(keys)}) {sign} ({', '.join('?' * len(keys))})" if after else ""
        order = ", ".join(f"{key} {way}" for key in keys)
        found = f"FROM {self.table} WHERE {self.where}{behind} ORDER BY {order} LIMIT {limit}"
        if self.number == CONTENT:
            # So many first, and then their rows: a database that joins first reads all of both.
            found = (
                f"FROM (SELECT c.id, c.generation_id {found}) c LEFT JOIN episodes e"
                " ON e.policy = ? AND e.generation_id = c.generation_id AND e.content = c.id"
                f" ORDER BY {order}"
            )
            values = (*values, self.values[0])
        has = (
            "CASE WHEN EXISTS (SELECT 1 FROM feedback f WHERE f.policy = e.policy AND"
            " f.generation_id = e.generation_id AND f.kind = ? AND f.dead = 0) THEN 1 ELSE 0 END"
        )
        sql = (
            f"SELECT {self.number}, COALESCE(e.generation_id, ''), e.received,"
            " COALESCE(e.version, ''), COALESCE(e.variant, ''), COALESCE(e.segment, ''), e.stage,"
            f" e.fate, {LATEST}, e.parts, {has if signal else 1} {found}"
        )
        asked = (signal,) if signal else ()
        return sql, (*asked, *self.values, *values)


def way_of(policy: str, asked: Mapping[str, str]) -> tuple[Way, dict[str, str]]:
    """Return how what is asked for is read with the fewest rows, and what is left to look for in them."""
    left, table = dict(asked), "episodes e"
    by_time = ("e.received", "e.generation_id", True, "newest first")
    if "batch" in left:
        batch = (policy, int(left.pop("batch")))
        where = "e.policy = ? AND e.batch_id = ?"
        return Way(table, where, batch, *by_time), left
    if "experiment" in left:
        where, values = "e.policy = ? AND e.salt = ?", (policy, left.pop("experiment"))
        if "day" not in left:
            return Way(table, where, values, *by_time), left
        day = days_of(left.pop("day")) * DAY
        within = f"{where} AND e.received >= ? AND e.received < ?"
        return Way(table, within, (*values, day, day + DAY), *by_time), left
    if (ended := left.get("fate", "")).startswith(("excluded:", "censored:")):
        del left["fate"]
        # As the index says it: without these words it would not be used.
        where = f"e.policy = ? AND e.fate = ? AND {ENDED}"
        return Way(table, where, (policy, ended), *by_time), left
    if ended == "trained":
        # All of them were in a batch, and most of what was in one is among them.
        where, number = "e.policy = ? AND e.batch_id IS NOT NULL", "e.batch_id"
        return Way(
            table, where, (policy,), number, "e.generation_id", True, "newest batch first"
        ), left
    if "stage" in left:
        where, staged = "e.policy = ? AND e.stage = ?", (policy, left.pop("stage"))
        due = ("e.due", "e.generation_id", False, "what is due first")
        return Way(table, where, staged, *due), left
    order = (CONTENT, "", True, "newest first, of those whose content is held")
    return Way("contents c", "c.policy = ?", (policy,), *order), left


def days_of(text: str) -> int:
    """Return the days since 1970 of a date."""
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError:
        raise AskedWrongly(f"day: {text[:40]!r} is no date, such as 2026-01-31") from None
