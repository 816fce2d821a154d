"""Answer list: generations by what became of them, read by key; each row leads to its story."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from ...ops.tool_errors.tally import answers_that_called
from ...streams.events.signals import SIGNALS
from ...streams.events.stage import EpisodeStage
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from ..charts.words import fate_words, short_version
from ..http.query import AskedWrongly, ListPlace, known_values, place_of, whole_number
from .answer_ways import DAY, days_of, way_of

PAGE = 50
"""Rows of a page."""
WINDOW = 2_000
"""Answers that a page reads at most, where not every one that it reads is asked for."""
ASKED = (
    *("fate", "stage", "batch", "experiment", "variant", "segment", "day", "version", "signal"),
    *("tool", "part"),
)
STAGES = tuple(one.value for one in EpisodeStage if one is not EpisodeStage.CLOSED)
CALLS = "tool_result"
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
    parts: bytes | str | None
    """Its reward's parts as they are kept; None where nobody decided."""
    signalled: int
    """1 where it has a signal of the kind that is asked for, and where none is."""


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
    limit, part, tool = (WINDOW if left else page + 1), asked.get("part", ""), asked.get("tool", "")
    sql, values = way.sql(after, limit, CALLS if tool else left.get("signal", ""))
    rows = [ListedAnswer._make(row) for row in view.execute(sql, values).fetchall()]
    called = answers_that_called(view, policy, tool, [one.id for one in rows]) if tool else set()
    shown, read = list[ListedAnswer](), 0
    for row in rows:
        if len(shown) == page:
            break
        read += 1
        if _is_asked(row, left) and (not tool or row.id in called):
            shown.append(row)
    last = rows[read - 1] if read else None
    more = read < len(rows) or len(rows) == limit
    next_place = ListPlace(last.number, last.id) if more and last is not None else None
    said = _signals(view, policy, [one.id for one in shown])
    return {
        "rows": [
            {
                **row._asdict(),
                "signals": ", ".join(said.get(row.id, ())),
                "says": _part(row, part),
            }
            for row in shown
        ],
        "part": part,
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
        "tool": lambda text: f"that called {text}",
        "part": lambda text: f"on which {text} says something",
        "day": lambda text: f"of {text}",
        "variant": str,
        "stage": str,
    }
    parts = [
        words[name](text) if name in words else f"{name} {text}" for name, text in asked.items()
    ]
    return ", ".join(["Answers", *parts])


_PARTS = msgspec.json.Decoder(dict[str, tuple[float | None, float]])


def _check(asked: Mapping[str, str]) -> None:
    if (stage := asked.get("stage")) and stage not in STAGES:
        raise AskedWrongly(f"stage: {stage[:40]!r} is none; known: {', '.join(STAGES)}")
    if asked.get("tool") and asked.get("signal", CALLS) != CALLS:
        raise AskedWrongly(f"tool: is asked for without a signal, or with {CALLS}")
    if (kind := asked.get("signal")) and kind not in KINDS:
        raise AskedWrongly(f"signal: {kind[:40]!r} is none; known: {', '.join(sorted(KINDS))}")
    if "batch" in asked:
        whole_number("batch", asked["batch"])


def _is_asked(row: ListedAnswer, left: Mapping[str, str]) -> bool:
    if "day" in left:
        at = -math.inf if row.received is None else row.received
        if int(max(at, 0.0) // DAY) != days_of(left["day"]):
            return False
    told = {"fate": row.fate, "stage": row.stage, "variant": row.variant}
    told |= {"segment": row.segment, "version": row.version}
    # Of a content whose row names another one by now nothing is told.
    wanted = row.stage is not None and all(
        told[name] == value for name, value in left.items() if name in told
    )
    return (
        wanted
        and bool(row.signalled)
        and ("part" not in left or _part(row, left["part"]) is not None)
    )


def _part(row: ListedAnswer, name: str) -> float | None:
    """Return what a part of the reward, or a cost, is worth on an answer; None where it says nothing."""
    if not name or row.parts is None:
        return None
    return _PARTS.decode(row.parts).get(name, (None, 0.0))[0]


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
