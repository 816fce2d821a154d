"""Own numbers: what a product measured of its answers, by name, at once or after the fact.

They are no rewards and never trained on; a metric of a rollout may name them.
"""

from collections.abc import Iterable, Mapping, Sequence

from ..events.episode import Timed
from ..events.signals import Measured, Outcome
from ..state.bulk import insert_rows
from ..state.transaction import Transaction

COUNTED = """
ALTER TABLE episodes ADD COLUMN prompt_tokens INTEGER;
ALTER TABLE episodes ADD COLUMN cached_tokens INTEGER;
ALTER TABLE episodes ADD COLUMN tool_calls INTEGER;
CREATE TABLE own_numbers (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL, name TEXT NOT NULL,
    served REAL, later REAL,
    PRIMARY KEY (policy, generation_id, name))
"""
"""`served` came with the answer, `later` as feedback; what came later counts."""


_NUMBERS = (Measured, Outcome)


def put_served_numbers(
    tx: Transaction, policy: str, answers: Iterable[tuple[str, Mapping[str, float]]]
) -> None:
    """Write the numbers that came with new answers, by generation id."""
    _put(tx, "served", policy, answers)


def put_later_numbers(
    tx: Transaction, policy: str, feedback: Mapping[str, Sequence[Timed]]
) -> None:
    """Write what all feedback on some answers says by now, by generation id.

    Of one name the last counts. An outcome counts by its name too, with its value in [0, 1].
    """
    told, withdrawn = list[tuple[str, dict[str, float]]](), list[str]()
    for generation_id, timed in sorted(feedback.items()):
        found: dict[str, float] = {}  # Of every answer: an alias made anew costs more than a dict.
        for one in timed:
            signal = one.feedback.signal
            # What was said of a whole session is one number, and not one for each of its answers.
            if isinstance(signal, _NUMBERS) and (
                one.attribution is None or one.attribution.of_last
            ):
                found[signal.name] = signal.value
            # What it takes the place of may have been a number.
            if one.feedback.replaces is not None and generation_id not in withdrawn[-1:]:
                withdrawn.append(generation_id)
        if found:
            told.append((generation_id, found))
    tx.executemany(
        "UPDATE own_numbers SET later = NULL WHERE policy = ? AND generation_id = ?",
        [(policy, generation_id) for generation_id in withdrawn],
    )
    _put(tx, "later", policy, told)


def _put(
    tx: Transaction,
    column: str,
    policy: str,
    answers: Iterable[tuple[str, Mapping[str, float]]],
) -> None:
    insert_rows(
        tx,
        f"INSERT INTO own_numbers (policy, generation_id, name, {column}) VALUES ",
        [
            (policy, generation_id, name, float(value))
            for generation_id, numbers in answers
            for name, value in numbers.items()
        ],
        f" ON CONFLICT (policy, generation_id, name) DO UPDATE SET {column} = excluded.{column}",
    )
