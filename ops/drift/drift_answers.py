"""Drift answers: what one version answered, as its behaviours are compared."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ...streams.answers.answer_rows import LATEST, NAMED
from ...streams.state.transaction import Transaction
from .answer_numbers import kept_of

MOST_ANSWERS = 10_000
"""The first so many of each side are compared: a version does not change, and more show no more."""


class Side(NamedTuple):
    """Which answers are one side of a comparison."""

    version: str
    """Version that gave them."""
    salts: tuple[str, ...]
    """Salts under which."""
    variants: tuple[str, ...]
    """Variants under which."""
    since: float = 0.0
    """Received from then on, epoch seconds."""
    until: float = 1e15
    """Received before."""


class DriftAnswer(NamedTuple):
    """One answer to a named user."""

    generation_id: str
    """Names it."""
    user: str
    """Hashed user."""
    received: float
    """Epoch seconds."""
    segment: str
    """Kind of work."""
    reward: float | None
    """With all feedback so far."""
    kept: float | None
    """What of it was kept, where the reward has that part."""
    edited: bool
    """Whether the person edited it."""
    tokens: int | None
    """Tokens written."""
    behaviours: dict[str, float]
    """What it does, number by name; empty where nobody could tell."""
    held: bool
    """Whether its content is held, so that it may be shown."""
    empty: bool = False
    """Whether it says nothing and calls nothing."""


def answers_of(tx: Transaction, policy: str, side: Side) -> list[DriftAnswer]:
    """Return the first answers of a side, oldest first; failed ones and moved sessions are left out."""
    if not side.salts:
        return []
    rows = tx.execute(
        f"SELECT generation_id, user_hash, received, COALESCE(segment, ''), {LATEST}, parts, tokens,"
        " behaviours, CASE WHEN content IS NULL THEN 0 ELSE 1 END,"
        " CASE WHEN EXISTS (SELECT 1 FROM feedback f WHERE f.policy = episodes.policy"
        " AND f.generation_id = episodes.generation_id AND f.kind = 'edited' AND f.dead = 0)"
        " THEN 1 ELSE 0 END, empty FROM episodes WHERE policy = ? AND version = ?"
        f" AND salt IN ({_marks(side.salts)}) AND variant IN ({_marks(side.variants)})"
        f" AND received >= ? AND received < ? AND {NAMED} AND failed = 0 AND moved = 0"
        " ORDER BY received LIMIT ?",
        (
            *(policy, side.version, *side.salts, *side.variants),
            *(side.since, side.until, MOST_ANSWERS),
        ),
    )
    return [_answer(*row) for row in rows.fetchall()]


def _answer(*row: Any) -> DriftAnswer:
    name, user, received, segment, reward, parts, tokens, told, held, edited, empty = row
    return DriftAnswer(
        *(name, user, received, segment, reward),
        *(kept_of(parts), bool(edited), tokens),
        *(msgspec.json.decode(told) if told else {}, bool(held), bool(empty)),
    )


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
