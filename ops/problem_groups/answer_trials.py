"""Answer trials: what answers do, which are left out of training, and what people did with them."""

from collections import Counter
from typing import Any, NamedTuple

import msgspec

from ...rewards.behaviours.behaviour import TOOL
from ...streams.answers.answer_rows import LATEST
from ...streams.answers.observed import largest_segments
from ...streams.events.generation import SHADOW, SIDE
from ...streams.join.fate import MIRRORED, SIDE_REQUEST
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from .answered import ANSWERS, PERSON
from .problem_group import DAY, CountedProblems, ProblemGroup, told_name

HABITS = {
    "asks": 1.0,
    "refuses": 1.0,
    "invalid_calls": 1e-9,
    "one_tool": 0.9,
    "unfinished_todos": 1.0,
    "reasoning_in_comments": 0.1,
    "repetition": 0.3,
    "copies_request": 0.5,
    "breaks_off": 1.0,
    "digits": 0.2,
}
"""From which value on an answer does it (docs/behaviours.md)."""
PAGE = 20_000
"""Rows that one view of the database reads."""
MOST_SEGMENTS = 50
"""Kinds of work that are told apart, those with the most answers: callers name them, and may name a new
one for each request. Further ones are one."""
OTHERS = "(others)"

_ROWS = (
    f"SELECT generation_id, COALESCE(version, ''), {PERSON}, COALESCE(segment, ''), received, fate,"
    " behaviours,"
    f" CASE WHEN {LATEST} IS NULL THEN 0 ELSE 1 END, tokens,"
    " CASE WHEN EXISTS (SELECT 1 FROM feedback f WHERE f.policy = episodes.policy AND f.generation_id ="
    " episodes.generation_id AND f.kind = 'edited' AND f.dead = 0) THEN 1 ELSE 0 END,"
    " CASE WHEN EXISTS (SELECT 1 FROM feedback f WHERE f.policy = episodes.policy AND f.generation_id ="
    " episodes.generation_id AND f.kind = 'undone' AND f.dead = 0) THEN 1 ELSE 0 END"
    " FROM episodes WHERE policy = ? AND generation_id > ? AND received >= ? AND received < ?"
    f" AND COALESCE(variant, '') NOT IN ('{SHADOW}', '{SIDE}') ORDER BY generation_id LIMIT {PAGE}"
)


class TriedAnswer(NamedTuple):
    """One answer, as it is counted."""

    generation_id: str
    """Names it."""
    version: str
    """Version that gave it."""
    person: str
    """Hashed user, or else the session."""
    segment: str
    """Kind of work."""
    received: float
    """Epoch seconds."""
    fate: str
    """As in `fate.py`."""
    behaviours: bytes | None
    """What it does, JSON."""
    decided: int
    """Whether somebody decided on it."""
    tokens: int | None
    """Tokens written."""
    edited: int
    """Whether somebody edited it."""
    undone: int
    """Whether somebody took it back."""


class AnswerTrials:
    """Counts answers into what was counted so far."""

    def __init__(self, counted: CountedProblems, since_day: int) -> None:
        """Evidence, and numbers by version, are of days from `since_day` on."""
        self.counted, self.since_day = counted, since_day
        self.numbers: dict[str, Counter[str]] = {}
        """By version: answers, tokens with how many they are of, habits, tools, edits."""
        self._segments: dict[str, str] = {}

    def read(self, store: Store, policy: str, first_day: int, until_day: int) -> None:
        """Count all answers that were received on these days."""
        after, read = "", 0
        with store.reading() as view:
            days = (first_day * DAY, until_day * DAY)
            largest = largest_segments(view, policy, *days, MOST_SEGMENTS)
        self._segments = {segment: told_name(segment) for segment in largest}
        while True:
            with store.reading() as view:
                page = _page(view, policy, after, first_day, until_day)
            for one in page:
                self.add(one)
            read += len(page)
            if len(page) < PAGE:
                break
            after = page[-1].generation_id
        self.counted.read.append(f"{read} answers")

    def add(self, one: TriedAnswer) -> None:
        """Count one answer: of which trials it is one, and of which groups a hit."""
        day, segment = int(one.received // DAY), self._segment(one.segment)
        answers = f"{ANSWERS} in {segment}"
        units, hits = [ANSWERS, answers], list[str]()
        if one.fate.startswith("excluded:") and one.fate not in (MIRRORED, SIDE_REQUEST):
            rule = one.fate.partition(":")[2]
            hits.append(self._group("exclusion", f"{rule} in {segment}", answers))
        if one.decided:
            unit = f"decided in {segment}"
            units.append(unit)
            for did, name in ((one.edited, "edited"), (one.undone, "undone")):
                if did:
                    hits.append(self._group("feedback", f"{name} in {segment}", unit))
        found: dict[str, float] = msgspec.json.decode(one.behaviours) if one.behaviours else {}
        for name, value in found.items():
            if name in HABITS:
                unit = f"{name} told in {segment}"
                units.append(unit)
                if value >= HABITS[name]:
                    hits.append(self._group("behaviour", f"{name} in {segment}", unit))
        for unit in units:
            self.counted.trials[unit, one.version, day] += 1
        for group in hits:
            self.counted.hits[group, one.version, day] += 1
        self.counted.people.note(day, one.person, one.version, units, hits)
        if day >= self.since_day:
            for group in hits:
                self.counted.show(group, one.version, one.received, one.generation_id)
            self._number(one, found)

    def _number(self, one: TriedAnswer, found: dict[str, float]) -> None:
        numbers = self.numbers.setdefault(one.version, Counter())
        numbers[ANSWERS] += 1
        if one.tokens is not None:
            numbers["with tokens"] += 1
            numbers["tokens"] += one.tokens
        if one.decided:
            numbers["decided"] += 1
            numbers["edited"] += one.edited
            numbers["undone"] += one.undone
        for name in ("asks", "refuses"):
            if name in found:
                numbers[f"told {name}"] += 1
                numbers[name] += int(found[name] >= HABITS[name])
        for name, calls in found.items():
            if name.startswith(TOOL):
                numbers[f"{TOOL}{told_name(name[len(TOOL) :])}"] += int(calls)

    def _segment(self, segment: str) -> str:
        return self._segments.get(segment, OTHERS)

    def _group(self, source: Any, name: str, unit: str) -> str:
        return self.counted.group(
            ProblemGroup(source=source, name=name, unit=unit, people=unit, is_rate=True)
        )


def _page(
    view: Transaction, policy: str, after: str, first_day: int, until_day: int
) -> list[TriedAnswer]:
    rows = view.execute(_ROWS, (policy, after, first_day * DAY, until_day * DAY)).fetchall()
    return [TriedAnswer._make(row) for row in rows]
