"""Answered: who got answers, and from which version."""

from collections.abc import Iterator, Sequence

from ...streams.answers.answer_rows import NAMED
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction

ANSWERS = "answers"
"""The unit of which every answer is a trial."""
PERSON = f"CASE WHEN {NAMED} THEN user_hash ELSE COALESCE(session_id, generation_id) END"
"""Whom an answer was for, in SQL: the hashed user, or else the session."""


def answered(view: Transaction, policy: str, ids: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield id, version and person of the answers that are known."""
    for marks, chunk in by_ids(ids):
        yield from view.execute(
            f"SELECT generation_id, COALESCE(version, ''), {PERSON} FROM episodes WHERE policy = ?"
            f" AND received IS NOT NULL AND generation_id IN ({marks}) ORDER BY generation_id",
            (policy, *chunk),
        ).fetchall()
