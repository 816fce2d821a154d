"""PassedOver: whether the answers that were too old to learn from differ from those that were taken.

People who answer late may be others than those who answer at once; what a batch leaves out for its age
then leans what is learned. Counted when a batch is sealed, for all of whom were ready by then.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from ...streams.state.transaction import Transaction
from ..sealed import PassedOver

PASSED_OVER = """
CREATE TABLE passed_over (
    policy TEXT NOT NULL, batch_id INTEGER NOT NULL, segment TEXT NOT NULL, too_old INTEGER NOT NULL,
    episodes INTEGER NOT NULL, reward REAL NOT NULL, squares REAL NOT NULL, delay REAL NOT NULL,
    PRIMARY KEY (policy, batch_id, segment, too_old))
"""
"""Sums over a batch's episodes, and over those that were found too old since the batch before."""


AT_ONCE = 500
"""Ids to one query."""


class Decided(NamedTuple):
    """A ready episode, as far as it is compared."""

    generation_id: str
    """Id of its generation."""
    segment: str
    """Kind of work."""
    reward: float
    """Of its latest revision."""


def note_decided(
    tx: Transaction, policy: str, batch_id: int, episodes: Sequence[Decided], *, too_old: bool
) -> None:
    """Add episodes to what a batch took, or to what was too old for it."""
    sums: dict[str, list[float]] = {}
    delays = _delays(tx, policy, [one.generation_id for one in episodes])
    for one in episodes:
        of = sums.setdefault(one.segment, [0, 0.0, 0.0, 0.0])
        told = (1, one.reward, one.reward**2, delays.get(one.generation_id, 0.0))
        for place, value in enumerate(told):
            of[place] += value
    tx.executemany(
        "INSERT INTO passed_over VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (policy, batch_id, segment, too_old) DO UPDATE SET"
        " episodes = passed_over.episodes + excluded.episodes,"
        " reward = passed_over.reward + excluded.reward,"
        " squares = passed_over.squares + excluded.squares,"
        " delay = passed_over.delay + excluded.delay",
        [
            (policy, batch_id, segment, int(too_old), int(count), *rest)
            for segment, (count, *rest) in sorted(sums.items())
        ],
    )


def _delays(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, float]:
    """Return, by generation, the seconds from the answer to the first feedback on it."""
    found: dict[str, float] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        rows = tx.execute(
            "SELECT e.generation_id, MIN(f.received) - MIN(e.received) FROM episodes e"
            " JOIN feedback f ON f.policy = e.policy AND f.generation_id = e.generation_id"
            f" WHERE e.policy = ? AND e.generation_id IN ({', '.join('?' * len(some))})"
            " GROUP BY e.generation_id",
            (policy, *some),
        )
        found.update(rows.fetchall())
    return found


def passed_over(view: Transaction, policy: str, batch_id: int | None = None) -> PassedOver:
    """Compare what was too old with what was taken: for one batch, or of all time."""
    rows = view.execute(
        "SELECT too_old, segment, SUM(episodes), SUM(reward), SUM(squares), SUM(delay)"
        " FROM passed_over WHERE policy = ?"
        + ("" if batch_id is None else " AND batch_id = ?")
        + " GROUP BY too_old, segment ORDER BY too_old, segment",
        (policy,) if batch_id is None else (policy, batch_id),
    ).fetchall()
    taken, old = ([row for row in rows if bool(row[0]) is too_old] for too_old in (False, True))
    (ours, reward, spread, delay), (theirs, old_reward, old_spread, old_delay) = (
        _means([row[2:] for row in part]) for part in (taken, old)
    )
    both = ours > 0 and theirs > 0
    mixes = (
        Counter({row[1]: row[2] / n for row in part}) for part, n in ((taken, ours), (old, theirs))
    )
    mix, old_mix = mixes
    apart = sum(abs(mix[name] - old_mix[name]) for name in mix.keys() | old_mix.keys()) / 2.0
    return PassedOver(
        taken=ours,
        too_old=theirs,
        reward=reward,
        too_old_reward=old_reward,
        standard_error=math.sqrt(spread + old_spread),
        delay=delay,
        too_old_delay=old_delay,
        segments_apart=apart if both else 0.0,
    )


def describe_passed_over(view: Transaction, policy: str) -> dict[str, Any]:
    """Return the comparison of all time as a document, in words under `said`; {} where none was made."""
    try:
        found = passed_over(view, policy)
    except sqlite3.OperationalError:
        return {}  # A state that an older rlwd left.
    return {**msgspec.to_builtins(found), "said": found.sentence}


def _means(rows: Iterable[tuple[int, float, float, float]]) -> tuple[int, float, float, float]:
    """Count, mean reward, its squared standard error, mean delay; zeros of none."""
    sums = [math.fsum(column) for column in zip(*rows, strict=True)] or [0.0] * 4
    count, reward, squares, delay = sums
    if not count:
        return 0, 0.0, 0.0, 0.0
    mean = reward / count
    return int(count), mean, max(squares / count - mean * mean, 0.0) / count, delay / count
