"""Reading tallies: what readers read, refused and spent, by day; the budget of a day is told from it."""

from collections.abc import Mapping
from typing import Any

from ..state.transaction import Transaction
from .unread import count_unread

READING_TALLIES = """
CREATE TABLE reading_tallies (
    policy TEXT NOT NULL, day INTEGER NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (policy, day, what))
"""
DAY = 86400.0


def add_tallies(tx: Transaction, policy: str, now: float, told: Mapping[str, int]) -> None:
    """Add what was done since the last time."""
    tx.executemany(
        "INSERT INTO reading_tallies (policy, day, what, count) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (policy, day, what) DO UPDATE SET count = reading_tallies.count + ?",
        [
            (policy, int(now // DAY), what, count, count)
            for what, count in sorted(told.items())
            if count
        ],
    )


def tallies_of(view: Transaction, policy: str, day: float | None = None) -> dict[str, int]:
    """Return what was done: on the day of a time, or in all."""
    of, values = ("", ()) if day is None else (" AND day = ?", (int(day // DAY),))
    rows = view.execute(
        f"SELECT what, SUM(count) FROM reading_tallies WHERE policy = ?{of}"
        " GROUP BY what ORDER BY what",
        (policy, *values),
    ).fetchall()
    return {what: int(count) for what, count in rows}


def describe_readings(view: Transaction, policy: str, now: float) -> dict[str, Any]:
    """Return what was read and refused, in all and today, and what waits."""
    return {
        "waiting": count_unread(view, policy),
        "all": tallies_of(view, policy),
        "today": tallies_of(view, policy, now),
    }
