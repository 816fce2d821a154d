"""Answer list: generations by what became of them, read by key; each row leads to its story."""

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ...streams.answers.answer_rows import LATEST
from ...streams.events.signals import SIGNALS
from ...streams.events.stage import EpisodeStage
from ...streams.join.episodes_table import ENDED
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from ..charts.words import fate_words, short_version
from ..http.query import AskedWrongly, ListPlace, known_values, place_of, whole_number

PAGE = 50
"""Rows of a page."""
WINDOW = 2_000
"""Answers that a page reads at most, where not every one that it reads is asked for."""
ASKED = ("fate", "stage", "batch", "experiment", "variant", "segment", "day", "version", "signal")
STAGES = tuple(one.value for one in EpisodeStage if one is not EpisodeStage.CLOSED)
DAY = 86_400
CONTENT = "c.id"
KINDS = frozenset(str(kind.__struct_config__.tag) for kind in SIGNALS)


class ListedAnswer(NamedTuple):
    """One row of a list."""

    number: float
    """What the list is ordered by."""
    id: str
    """The generation's id."""
    received: float | None
    """Epoch seconds; None where only feedback on it came."""
    version: str
    """That answered; empty where that is not known."""
    variant: str
    """What the flag returned."""
    segment: str
    """Kind of work."""
    stage: str | None
    """How far it has come; None where its row is gone."""
    fate: str
    """How it ended."""
    reward: float | None
    """With all feedback so far."""
    signalled: int
    """1 where it has a signal of the kind that is asked for, and where none is."""


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
            number = int(after.number) if self.number == CONTENT else after.number
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
            f" e.fate, {LATEST}, {has if signal else 1} {found}"
        )
        asked = (signal,) if signal else ()
        return sql, (*asked, *self.values, *values)


def read_answers(
    view: Transaction, policy: str, query: Mapping[str, str], *, page: int = PAGE
) -> dict[str, Any]:
    """Return a page of a list: its rows, what it is of in words, and where it goes on.

    Reads `WINDOW` rows of one index at most, whatever is asked for. Raises AskedWrongly.
    """
    asked = known_values(query, (*ASKED, "after"))
    after = place_of(asked.pop("after", ""))
    _check(asked)
    way, left = way_of(policy, asked)
    limit = WINDOW if left else page + 1
    sql, values = way.sql(after, limit, left.get("signal", ""))
    rows = [ListedAnswer._make(row) for row in view.execute(sql, values).fetchall()]
    shown, read = list[ListedAnswer](), 0
    for row in rows:
        if len(shown) == page:
            break
        read += 1
        if _is_asked(row, left):
            shown.append(row)
    last = rows[read - 1] if read else None
    more = read < len(rows) or len(rows) == limit
    next_place = ListPlace(last.number, last.id) if more and last is not None else None
    said = _signals(view, policy, [one.id for one in shown])
    return {
        "rows": [{**row._asdict(), "signals": ", ".join(said.get(row.id, ()))} for row in shown],
        "title": describe(asked),
        "order": way.said,
        "read": read,
        "until": None if last is None else last.received,
        "next": urlencode({**asked, "after": str(next_place)}) if next_place else "",
        "first": urlencode(asked) if after else "",
    }


def describe(asked: Mapping[str, str]) -> str:
    """Return what a list is of, in words.

    >>> describe({"fate": "excluded:greedy"}), describe({"batch": "7"}), describe({})
    ('Answers, excluded: greedy', 'Answers, batch 7', 'Answers')
    """
    words: dict[str, Callable[[str], str]] = {
        "fate": fate_words,
        "version": lambda text: f"of {short_version(text)}",
        "experiment": lambda text: f"in the experiment of {short_version(text)}",
        "signal": lambda text: f"with {text}",
        "day": lambda text: f"of {text}",
        "variant": str,
        "stage": str,
    }
    parts = [
        words[name](text) if name in words else f"{name} {text}" for name, text in asked.items()
    ]
    return ", ".join(["Answers", *parts])


def _check(asked: Mapping[str, str]) -> None:
    if (stage := asked.get("stage")) and stage not in STAGES:
        raise AskedWrongly(f"stage: {stage[:40]!r} is none; known: {', '.join(STAGES)}")
    if (kind := asked.get("signal")) and kind not in KINDS:
        raise AskedWrongly(f"signal: {kind[:40]!r} is none; known: {', '.join(sorted(KINDS))}")
    if "batch" in asked:
        whole_number("batch", asked["batch"])


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
        day = _day(left.pop("day")) * DAY
        within = f"{where} AND e.received >= ? AND e.received < ?"
        return Way(table, within, (*values, day, day + DAY), *by_time), left
    if (ended := left.get("fate", "")).startswith(("excluded:", "censored:")):
        del left["fate"]
        # As the index says it: without these words it would not be used.
        where = f"e.policy = ? AND e.fate = ? AND {ENDED}"
        return Way(table, where, (policy, ended), *by_time), left
    if "stage" in left:
        where, staged = "e.policy = ? AND e.stage = ?", (policy, left.pop("stage"))
        due = ("e.due", "e.generation_id", False, "what is due first")
        return Way(table, where, staged, *due), left
    order = (CONTENT, "", True, "newest first, of those whose content is held")
    return Way("contents c", "c.policy = ?", (policy,), *order), left


def _day(text: str) -> int:
    """Return the days since 1970 of a date."""
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError:
        raise AskedWrongly(f"day: {text[:40]!r} is no date, such as 2026-01-31") from None


def _is_asked(row: ListedAnswer, left: Mapping[str, str]) -> bool:
    if "day" in left:
        at = -math.inf if row.received is None else row.received
        if int(max(at, 0.0) // DAY) != _day(left["day"]):
            return False
    told = {"fate": row.fate, "stage": row.stage, "variant": row.variant}
    told |= {"segment": row.segment, "version": row.version}
    # Of a content whose row names another one by now nothing is told.
    wanted = row.stage is not None and all(
        told[name] == value for name, value in left.items() if name in told
    )
    return wanted and bool(row.signalled)


def _signals(view: Transaction, policy: str, ids: list[str]) -> dict[str, list[str]]:
    """Return the kinds of signal on these answers, with how many where there are several."""
    found: dict[str, list[str]] = {}
    for marks, chunk in by_ids(ids):
        rows = view.execute(
            "SELECT generation_id, kind, COUNT(*) FROM feedback WHERE policy = ?"
            f" AND generation_id IN ({marks}) AND dead = 0 GROUP BY generation_id, kind"
            " ORDER BY generation_id, kind",
            (policy, *chunk),
        ).fetchall()
        for name, kind, count in rows:
            found.setdefault(name, []).append(kind if count == 1 else f"{kind} ({count})")
    return found
