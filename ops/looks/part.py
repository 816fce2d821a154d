"""Parts: the answers of a rollout by segment and by day, each part compared on its own."""

import time
from collections.abc import Iterable, Mapping

import msgspec

from ...streams.answers.answer_rows import AnswerRow, answer_rows
from ...streams.state.transaction import Transaction
from ..rollout.observe import Comparing, by_variant, in_time, readout_of
from .look import MetricPoint, points

MOST_SEGMENTS, MOST_DAYS = 20, 90
"""So many are kept: the segments with the most answers, the latest days."""


class RolloutPart(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one segment, or of one day."""

    by: str
    """segment or day."""
    name: str
    """The segment, or the day (UTC) as 2026-01-31."""
    answers: tuple[int, int]
    """Answers of candidate and control."""
    metrics: tuple[MetricPoint, ...]
    """Each metric with the interval of these answers alone."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout in parts, as of a time."""

    at: float
    """Epoch seconds."""
    parts: tuple[RolloutPart, ...]
    """Segments by their answers, most first; then days in order."""


def read_parts(
    tx: Transaction,
    policy: str,
    salt: str,
    comparing: Comparing,
    now: float,
    *,
    earlier: Mapping[str, float] | None = None,
) -> Parts:
    """Return a rollout's answers by segment and by day.

    The intervals are those of the whole rollout's tests, not widened for how many parts there are:
    one part of twenty may look different by chance.
    """
    rows = answer_rows(tx, policy, salt, own=comparing.own)
    rows, newest = in_time(rows, now)
    segments = _groups((row.segment, row) for row in rows)
    most = sorted(segments, key=lambda name: -len(segments[name]))[:MOST_SEGMENTS]
    days = _groups((_day(row.received), row) for row in rows)
    kept = [("segment", name, segments[name]) for name in most]
    kept += [("day", name, days[name]) for name in sorted(days)[-MOST_DAYS:]]
    found = tuple(
        RolloutPart(
            by=by,
            name=name,
            answers=(len((sides := by_variant(group))[0]), len(sides[1])),
            metrics=points(
                readout_of(group, comparing, newest, earlier=earlier),
                comparing,
                comparing.looks.alpha_harm,
            ),
        )
        for by, name, group in kept
    )
    return Parts(at=now, parts=found)


def _groups(rows: Iterable[tuple[str, AnswerRow]]) -> dict[str, list[AnswerRow]]:
    found: dict[str, list[AnswerRow]] = {}
    for name, row in rows:
        found.setdefault(name, []).append(row)
    return found


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))
