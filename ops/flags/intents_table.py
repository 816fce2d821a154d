"""Intents: the table of what the flag file is to say, and whether it was seen to (CONTRACTS 22)."""

import msgspec

from ...streams.state.transaction import Transaction
from .flag_state import FlagState

LATE_GENERATIONS = 20
"""So many files before the one of a time may still be read by some gateway."""
FOREVER = 1e15
"""Later than any file, epoch seconds."""


def intend(tx: Transaction, state: FlagState, now: float) -> None:
    """Write down what the file is to say; its generation must be new."""
    tx.execute(
        "INSERT INTO flag_intents VALUES (?, ?, ?, ?, NULL)",
        (state.policy, state.generation, msgspec.json.encode(state).decode(), now),
    )


def newest(tx: Transaction, policy: str) -> tuple[FlagState, bool] | None:
    """Return the last intent and whether the file was confirmed to say it."""
    row = tx.execute(
        "SELECT record, confirmed_at FROM flag_intents WHERE policy = ?"
        " ORDER BY generation DESC LIMIT 1",
        (policy,),
    ).fetchone()
    if row is None:
        return None
    return msgspec.json.decode(row[0], type=FlagState), row[1] is not None


def confirmed(tx: Transaction, policy: str) -> FlagState | None:
    """Return the last intent that the file was confirmed to say."""
    row = tx.execute(
        "SELECT record FROM flag_intents WHERE policy = ? AND confirmed_at IS NOT NULL"
        " ORDER BY generation DESC LIMIT 1",
        (policy,),
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=FlagState)


def of_generation(tx: Transaction, policy: str, generation: int) -> tuple[FlagState, float] | None:
    """Return what a generation of the flags says, and when it was decided; None for one not known."""
    row = tx.execute(
        "SELECT record, intended_at FROM flag_intents WHERE policy = ? AND generation = ?",
        (policy, generation),
    ).fetchone()
    return None if row is None else (msgspec.json.decode(row[0], type=FlagState), row[1])


def newest_times(tx: Transaction, policy: str) -> tuple[int, float | None] | None:
    """Return the last intent's generation, and when the file was confirmed to say it."""
    row = tx.execute(
        "SELECT generation, confirmed_at FROM flag_intents WHERE policy = ?"
        " ORDER BY generation DESC LIMIT 1",
        (policy,),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def confirm(tx: Transaction, policy: str, generation: int, now: float) -> None:
    """Write down that the file was read back and says this generation.

    Raises ValueError for a generation that was never intended.
    """
    changed = tx.execute(
        "UPDATE flag_intents SET confirmed_at = COALESCE(confirmed_at, ?)"
        " WHERE policy = ? AND generation = ?",
        (now, policy, generation),
    )
    if changed.rowcount != 1:
        raise ValueError(f"flag generation {generation} of {policy} was never intended")


def salts_since(tx: Transaction, policy: str, since: float, until: float = FOREVER) -> list[str]:
    """Return the salts of experiments that were in use after a time and before another, epoch seconds.

    Some earlier ones too: a gateway may take a while to read a new file.
    """
    rows = tx.execute(
        "SELECT record FROM flag_intents WHERE policy = ? AND generation >"
        " (SELECT COALESCE(MAX(generation), 0) FROM flag_intents"
        " WHERE policy = ? AND intended_at <= ?) - ? AND intended_at < ? ORDER BY generation",
        (policy, policy, since, LATE_GENERATIONS, until),
    ).fetchall()
    return list(dict.fromkeys(msgspec.json.decode(row[0], type=FlagState).salt for row in rows))
