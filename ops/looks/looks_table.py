"""Looks: the tables of what each look at a rollout showed, and of its parts by segment and day.

Looks are thinned as they age, so that a rollout of any length keeps a bounded number of them: no
two stand nearer to each other than 1 % of the older one's age. Those at which the stage, the step
or the verdict was new stay.
"""

import msgspec

from ...streams.state.transaction import Transaction
from .look import Look
from .part import Parts

FINEST = 0.01
"""Least distance of two looks of a rollout under way, as a part of the older one's age."""
LAST = 120
"""About so many looks, evenly over its time, are kept of a rollout that has ended."""


def add_look(tx: Transaction, policy: str, version: str, look: Look) -> None:
    """Keep a look."""
    tx.execute(
        "INSERT INTO rollout_looks VALUES (?, ?, ?, ?)"
        " ON CONFLICT (policy, version, at) DO NOTHING",
        (policy, version, look.at, msgspec.json.encode(look).decode()),
    )


def looks(tx: Transaction, policy: str, version: str) -> list[Look]:
    """Return the looks that were kept, oldest first."""
    rows = tx.execute(
        "SELECT record FROM rollout_looks WHERE policy = ? AND version = ? ORDER BY at",
        (policy, version),
    ).fetchall()
    return [msgspec.json.decode(row[0], type=Look) for row in rows]


def last_looks(tx: Transaction, policy: str) -> dict[str, Look]:
    """Return each rollout's last look, by version."""
    rows = tx.execute(
        "SELECT l.version, l.record FROM rollout_looks l"
        " JOIN (SELECT version, MAX(at) AS at FROM rollout_looks WHERE policy = ? GROUP BY version) n"
        " ON n.version = l.version AND n.at = l.at WHERE l.policy = ?",
        (policy, policy),
    ).fetchall()
    return {version: msgspec.json.decode(record, type=Look) for version, record in rows}


def thin_looks(
    tx: Transaction, policy: str, version: str, now: float, *, ended: bool = False
) -> None:
    """Forget looks that stand too near to each other."""
    gone = _too_near(looks(tx, policy, version), now, ended=ended)
    tx.executemany(
        "DELETE FROM rollout_looks WHERE policy = ? AND version = ? AND at = ?",
        [(policy, version, at) for at in gone],
    )


def _too_near(kept: list[Look], now: float, *, ended: bool) -> list[float]:
    gone: list[float] = []
    if not kept:
        return gone
    even, before = (kept[-1].at - kept[0].at) / LAST, kept[0]
    for look in kept[1:-1]:
        distance = even if ended else FINEST * (now - look.at)
        news = (look.stage, look.step, look.outcome) != (before.stage, before.step, before.outcome)
        if news or look.at - before.at >= distance:
            before = look
        else:
            gone.append(look.at)
    return gone


def put_parts(tx: Transaction, policy: str, version: str, parts: Parts) -> None:
    """Write down a rollout's parts in place of any earlier ones."""
    tx.execute(
        "INSERT INTO rollout_parts VALUES (?, ?, ?) ON CONFLICT (policy, version)"
        " DO UPDATE SET record = excluded.record",
        (policy, version, msgspec.json.encode(parts).decode()),
    )


def find_parts(tx: Transaction, policy: str, version: str) -> Parts | None:
    """Return a rollout's parts; None before they were first computed."""
    row = tx.execute(
        "SELECT record FROM rollout_parts WHERE policy = ? AND version = ?", (policy, version)
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Parts)
