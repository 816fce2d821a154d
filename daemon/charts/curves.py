"""Curves: reward and accept rate over time, by the version that answered."""

from dataclasses import dataclass

from ...streams.answers.answer_rows import LATEST
from ...streams.events.generation import SIDE
from ...streams.state.transaction import Transaction
from .chart import COLOURS, ChartLine
from .words import short_version

BUCKETS = 40
LONGEST = 14 * 86400.0
"""Seconds that a curve reaches back at most."""
FEWEST = 5
"""Decided answers that a point needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What the overview draws."""

    reward: list[ChartLine]
    """Mean reward, one line for each version, first ones first."""
    accepted: list[ChartLine]
    """Accepted share of what was accepted or rejected."""


@dataclass(slots=True, kw_only=True)
class _Sum:
    total: float = 0.0
    count: int = 0


def read_curves(view: Transaction, policy: str) -> Curves:
    """Return the curves of the versions with the most answers lately; it reads all that time's answers."""
    ends = view.execute(
        "SELECT MIN(received), MAX(received) FROM episodes WHERE policy = ? AND received IS NOT NULL",
        (policy,),
    ).fetchone()
    if ends is None or ends[0] is None:
        return Curves(reward=[], accepted=[])
    began = max(ends[0], ends[1] - LONGEST)
    width = max((ends[1] - began) / BUCKETS, 1e-3)
    # Cut down to whole buckets: a CAST rounds on one database and cuts on the other.
    place = "FLOOR((e.received - ?) / ?)"
    rewards = view.execute(
        f"SELECT e.version, {place} AS place, SUM({LATEST}), COUNT({LATEST}) FROM episodes e"
        f" WHERE e.policy = ? AND e.received >= ? AND {LATEST} IS NOT NULL"
        " GROUP BY e.version, place",
        (began, width, policy, began),
    ).fetchall()
    answers: dict[str, int] = {}
    for version, _, _, count in rewards:
        answers[version] = answers.get(version, 0) + count
    most = sorted(answers, key=lambda version: -answers[version])[:COLOURS]
    shown = sorted(version for version in most if version)
    # All feedback in its own order, and to each its answer: by an index it would be read out of order.
    accepted = view.execute(
        f"SELECT e.version, {place} AS place,"
        " SUM(CASE WHEN f.kind = 'accepted' THEN 1.0 ELSE 0.0 END), COUNT(*)"
        " FROM feedback f CROSS JOIN episodes e WHERE f.policy || '' = ?"
        " AND f.kind IN ('accepted', 'rejected')"
        # What was said of many answers at once is one decision, and counts with the one that it is of.
        " AND f.spread_of IS NULL AND COALESCE(f.attribution, '') NOT LIKE '%\"steps\"%'"
        " AND f.dead = 0 AND e.policy = ? AND e.generation_id = f.generation_id AND e.received >= ?"
        f" AND e.variant <> '{SIDE}' AND e.version IN ({', '.join('?' * len(shown)) or 'NULL'})"
        " GROUP BY e.version, place",
        (began, width, policy, policy, began, *shown),
    ).fetchall()
    return Curves(
        reward=_lines(rewards, shown, began, width),
        accepted=_lines(accepted, shown, began, width),
    )


def _lines(
    rows: list[tuple[str, float, float, int]], shown: list[str], began: float, width: float
) -> list[ChartLine]:
    sums: dict[str, dict[int, _Sum]] = {version: {} for version in shown}
    for version, place, total, count in rows:
        if version in sums:
            # The newest answer stands on the last bucket's edge.
            found = sums[version].setdefault(min(int(place), BUCKETS - 1), _Sum())
            found.total += total
            found.count += count
    return [
        ChartLine(
            name=short_version(version),
            points=[
                (began + (place + 0.5) * width, found.total / found.count)
                for place, found in sorted(sums[version].items())
                if found.count >= FEWEST
            ],
        )
        for version in shown
    ]
