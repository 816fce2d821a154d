"""Answer rows: the answers of an experiment's two variants, as a comparison reads them."""

from collections.abc import Sequence
from typing import NamedTuple

from ..state.transaction import Transaction

LATEST = "CASE WHEN revised = 1 THEN late_reward WHEN undecided = 1 THEN NULL ELSE reward END"
"""What an answer is worth with all feedback so far; NULL where nobody decided, whatever it was trained
on: what that is worth in a comparison, `[comparison] undecided` says."""
NAMED = "(user_named = 1 AND user_hash <> '')"


class AnswerRow(NamedTuple):
    """One answer that a variant served, as a comparison reads it."""

    variant: str
    """candidate or control."""
    user: str
    """Hashed user; empty where the product named none."""
    segment: str
    """Kind of work."""
    harness: str
    """Version of the product around the model."""
    received: float
    """Epoch seconds."""
    reward: float | None
    """With all feedback so far; None while nothing decisive came."""
    failed: int
    """1 where the engine failed it."""
    empty: int
    """1 where it showed nothing."""
    cut: int
    """1 where it was cut at its length limit."""
    latency: float | None
    """Seconds to its last byte; None where it failed or nothing was measured."""
    tokens: int | None
    """Tokens written; likewise."""
    prompt_tokens: int | None
    """Tokens read; likewise."""
    cached_tokens: int | None
    """Of these, the ones that the engine had in its prefix cache; None where it did not say."""
    tool_calls: int | None
    """Calls of tools in it; None where it failed or nobody counted."""
    first_turn: int
    """1 where it answers to no earlier one of its session."""
    moved: int
    """1 where its session was on another variant a while ago: it counts for neither."""
    parts: bytes | None
    """The reward's parts, JSON: name to value and weight."""
    behaviours: str | None
    """What it does, JSON: number by name; None where its content was not held."""
    own: tuple[float | None, ...] = ()
    """The product's own numbers that were asked for; None where it gave none."""


FIELDS = len(AnswerRow._fields) - 1
"""Columns of a row before the product's own."""


def answer_rows(
    tx: Transaction,
    policy: str,
    salt: str,
    *,
    since: float = 0.0,
    own: Sequence[str] = (),
    variants: Sequence[str] = ("candidate", "control"),
    moved: bool = False,
) -> list[AnswerRow]:
    """Return every answer of a salt's variants received from `since` on, oldest first.

    Answers to sessions that were moved are left out unless `moved` asks for them too. `own` are
    names of the product's own numbers.
    """
    owned = [f"COALESCE(n{place}.later, n{place}.served)" for place, _ in enumerate(own)]
    joins = [
        f" LEFT JOIN own_numbers n{place} ON n{place}.policy = episodes.policy"
        f" AND n{place}.generation_id = episodes.generation_id AND n{place}.name = ?"
        for place, _ in enumerate(own)
    ]
    rows = tx.execute(
        f"SELECT variant, CASE WHEN {NAMED} THEN user_hash ELSE '' END, COALESCE(segment, ''),"
        f" harness, received, {LATEST}, failed, empty, cut, latency, tokens, prompt_tokens,"
        f" cached_tokens, tool_calls, first_turn, moved, {', '.join(['parts', 'behaviours', *owned])}"
        f" FROM episodes{''.join(joins)}"
        " WHERE episodes.policy = ? AND salt = ? AND received >= ?"
        f" AND variant IN ({', '.join('?' * len(variants))}){'' if moved else ' AND moved = 0'}"
        " ORDER BY received",
        (*own, policy, salt, since, *variants),
    )
    return [AnswerRow._make((*row[:FIELDS], row[FIELDS:])) for row in rows.fetchall()]
