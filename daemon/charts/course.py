"""Course: one measurement from version to version, with the bar that it should keep within."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from .chart import BOTTOM, LEFT, RIGHT, TOP, flat, path, svg
from .scale import Scale, round_ticks
from .words import number


def course_chart(
    name: str,
    title: str,
    points: Sequence[tuple[str, float, bool]],
    *,
    low: float | None = None,
    high: float | None = None,
) -> Markup:
    """Return values in order, each with what it is of and whether it is beyond the bar.

    `name` is of letters, digits and - and unique on the page; `low` and `high` are the bar. What is
    much farther off than all else is drawn at the edge.
    """
    known = [one for one in points if math.isfinite(one[1])]
    if not known:
        return Markup('<p class="soft">Nothing was measured yet.</p>')
    up = _up([value for _, value, _ in known], [bar for bar in (low, high) if bar is not None])
    across = Scale(low=0.0, high=max(len(known) - 1, 1), start=LEFT, end=RIGHT)
    parts = []
    for tick in round_ticks(up.low, up.high, 4):
        parts.append(flat("grid", up.at(tick)))
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{up.at(tick) + 4}">{tick:g}</text>')
    for bar in (low, high):
        if bar is not None:
            parts.append(flat("margin", up.at(bar)))
    spots = [(across.at(place), up.at(value)) for place, (_, value, _) in enumerate(known)]
    if len(spots) > 1:
        parts.append(path("effect", spots))
    for (x, y), (_, _, beyond) in zip(spots, known, strict=True):
        parts.append(f'<circle class="{"dot c4" if beyond else "last"}" cx="{x}" cy="{y}" r="3"/>')
    ends = [(LEFT, "start", known[0][0])]
    if len(known) > 1:
        ends.append((RIGHT, "end", known[-1][0]))
    for x, anchor, words in ends:
        parts.append(
            f'<text class="tick {anchor}" x="{x}" y="{BOTTOM + 18}">{escape(words)}</text>'
        )
    off = sum(one[2] for one in known)
    told = (
        f"{len(known)} versions, from {known[0][0]} to {known[-1][0]}. Last {number(known[-1][1])}."
        f" {off} beyond the bar."
    )
    return svg(name, title, told, parts)


def _up(values: Sequence[float], bars: Sequence[float]) -> Scale:
    """Return a scale on which the bars and nearly all values are seen."""
    ordered = sorted(values)
    # One wild version must not press the others flat; the newest is told in words anyway.
    most = ordered[-1] if len(ordered) < 10 else min(ordered[-1], 4 * ordered[-2] + 1e-9)
    low, high = min([ordered[0], *bars, 0.0]), max([most, *bars])
    if high - low < 1e-12:
        high = low + 1.0
    return Scale(low=low, high=high + 0.05 * (high - low), start=BOTTOM, end=TOP)
