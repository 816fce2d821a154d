"""Charts: drawn here as SVG, with a title and a description for who cannot see them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from .scale import Scale, round_ticks, time_ticks
from .words import duration, number, percent

WIDTH, HEIGHT = 400.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 392.0, 14.0, 192.0
COLOURS = 6
"""Lines that can be told apart; more of them begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPoint:
    """An effect with its interval at one look."""

    at: float
    """Epoch seconds."""
    change: float | None
    """Relative difference; None where there was none."""
    low: float | None
    """Its lower bound; None while it is endless."""
    high: float | None
    """Its upper bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLine:
    """One line of a chart over time."""

    name: str
    """What the legend says."""
    points: Sequence[tuple[float, float]]
    """Epoch seconds and values, in order."""


def effect_chart(
    name: str,
    title: str,
    points: Sequence[EffectPoint],
    *,
    margin: float | None = None,
    steps: Sequence[float] = (),
) -> Markup:
    """Return an effect with its interval over time, a line at 0, and one at the margin.

    `name` is of letters and - and unique on the page; `steps` are times at which the rollout moved.
    Early intervals are wider than the chart and are cut at its edge.
    """
    # Of fewer than two users a variant there is a difference and no interval: it says nothing.
    known = [p for p in points if p.change is not None and p.low is not None]
    if not known:
        return Markup('<p class="soft">Nothing could be compared yet.</p>')
    began = points[0].at
    reach = _reach(known, margin or 0.0)
    across = Scale(low=0.0, high=max(points[-1].at - began, 1.0), start=LEFT, end=RIGHT)
    up = Scale(low=-reach, high=reach, start=BOTTOM, end=TOP)
    parts = [_grid(up, percent_ticks(reach), across)]
    for at in steps:
        if began < at < points[-1].at:
            x = across.at(at - began)
            parts.append(f'<line class="moved" x1="{x}" x2="{x}" y1="{TOP}" y2="{BOTTOM}"/>')
    parts.append(_band(known, across, up, began))
    parts.append(flat("zero", up.at(0.0)))
    if margin:
        y = up.at(margin)
        parts.append(flat("margin", y))
        beyond = y + (13 if margin < 0 else -5)
        parts.append(f'<text class="mark" x="{LEFT + 4}" y="{beyond}">margin</text>')
    parts.append(path("effect", [(across.at(p.at - began), up.at(p.change or 0)) for p in known]))
    last = known[-1]
    x, y = across.at(last.at - began), up.at(last.change or 0)
    parts.append(f'<circle class="last" cx="{x}" cy="{y}" r="3.5"/>')
    told = (
        f"{len(known)} looks over {duration(points[-1].at - began)}. At the last one candidate minus"
        f" control is {percent(last.change)}, between {percent(last.low)} and {percent(last.high)}."
    )
    return svg(name, title, told, parts)


def line_chart(name: str, title: str, lines: Sequence[ChartLine]) -> Markup:
    """Return values between 0 and 1 of several lines over time."""
    shown = [line for line in lines if line.points]
    if not shown:
        return Markup('<p class="soft">Nothing was decided yet.</p>')
    began = min(line.points[0][0] for line in shown)
    ended = max(line.points[-1][0] for line in shown)
    across = Scale(low=0.0, high=max(ended - began, 1.0), start=LEFT, end=RIGHT)
    up = Scale(low=0.0, high=1.0, start=BOTTOM, end=TOP)
    parts = [_grid(up, [(tick, f"{tick:g}") for tick in (0.0, 0.25, 0.5, 0.75, 1.0)], across)]
    for place, line in enumerate(shown):
        spots = [(across.at(at - began), up.at(value)) for at, value in line.points]
        if len(spots) > 1:
            parts.append(path(f"line c{place % COLOURS}", spots))
        x, y = spots[-1]
        parts.append(f'<circle class="dot c{place % COLOURS}" cx="{x}" cy="{y}" r="3.5"/>')
    told = "; ".join(f"{line.name}: last {number(line.points[-1][1])}" for line in shown)
    return svg(name, title, f"Over {duration(ended - began)}. {told}.", parts)


def reliability_chart(name: str, title: str, points: Sequence[tuple[float, float, int]]) -> Markup:
    """Return what was said against what was so, both in [0, 1], beside the line where they agree.

    A point is the mean of what was said, the share that was so, and how many they are of.
    """
    across = Scale(low=0.0, high=1.0, start=LEFT, end=RIGHT)
    up = Scale(low=0.0, high=1.0, start=BOTTOM, end=TOP)
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(flat("grid", up.at(value)))
        parts.append(
            f'<text class="tick end" x="{LEFT - 6}" y="{up.at(value) + 4}">{value:g}</text>'
        )
        kind = "tick end" if value == 1.0 else "tick"
        parts.append(
            f'<text class="{kind}" x="{across.at(value)}" y="{BOTTOM + 18}">{value:g}</text>'
        )
    parts.append(path("zero", [(across.at(0.0), up.at(0.0)), (across.at(1.0), up.at(1.0))]))
    spots = [(across.at(said), up.at(was)) for said, was, _ in points]
    if len(spots) > 1:
        parts.append(path("line c0", spots))
    parts += [f'<circle class="dot c0" cx="{x}" cy="{y}" r="3.5"/>' for x, y in spots]
    told = "; ".join(f"said {said:.2f}, was {was:.2f}, of {count}" for said, was, count in points)
    return svg(name, title, told or "Nothing was held out.", parts)


def share_bar(name: str, title: str, shares: Sequence[tuple[str, float, str]]) -> Markup:
    """Return shares of a whole as one bar; each is its name, its share and its class."""
    parts, x = [], 0.0
    for _, share, kind in shares:
        width = round(WIDTH * share, 2)
        parts.append(f'<rect class="fate {kind}" x="{x}" y="0" width="{width}" height="14"/>')
        x = round(x + width, 2)
    told = ", ".join(f"{what} {percent(share, sign=False)}" for what, share, _ in shares)
    body = Markup("").join(Markup(part) for part in parts)
    return Markup(
        '<svg class="bar" viewBox="0 0 400 14" preserveAspectRatio="none" role="img"'
        ' aria-labelledby="{n}-t {n}-d"><title id="{n}-t">{t}</title><desc id="{n}-d">{d}</desc>'
        "{b}</svg>"
    ).format(n=name, t=title, d=told or "none yet", b=body)


def percent_ticks(reach: float) -> list[tuple[float, str]]:
    """Return ticks of relative differences from -reach to reach."""
    ticks = round_ticks(-reach, reach, 5)
    fine = 0 if all(abs(100 * tick - round(100 * tick)) < 1e-9 for tick in ticks) else 1
    return [(tick, percent(tick, digits=fine).replace(" ", "")) for tick in ticks]


def _reach(points: Sequence[EffectPoint], margin: float) -> float:
    """Return the greatest difference that the chart shows: the late looks are what matters."""
    late = points[len(points) // 2 :]
    ends = [abs(v) for p in late[-1:] for v in (p.low, p.high) if v is not None]
    sizes = sorted(abs(p.change or 0.0) for p in late)
    return max([1.6 * abs(margin), 1.25 * max(ends, default=0.0), 1.1 * sizes[-1], 0.01])


def _grid(up: Scale, ticks: Sequence[tuple[float, str]], across: Scale) -> str:
    parts = []
    for value, words in ticks:
        y = up.at(value)
        parts.append(flat("grid", y))
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y + 4}">{escape(words)}</text>')
    for seconds, words in time_ticks(across.high, 4):
        x = across.at(seconds)
        # The last words end at the edge, so that nothing of them is cut.
        kind = "tick end" if x > RIGHT - 24 else "tick"
        parts.append(f'<text class="{kind}" x="{x}" y="{BOTTOM + 18}">{escape(words)}</text>')
    return "".join(parts)


def flat(kind: str, y: float) -> str:
    """Return a line across the chart."""
    return f'<line class="{kind}" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>'


def _band(points: Sequence[EffectPoint], across: Scale, up: Scale, began: float) -> str:
    tops = [(across.at(p.at - began), up.at(up.high if p.high is None else p.high)) for p in points]
    lows = [(across.at(p.at - began), up.at(up.low if p.low is None else p.low)) for p in points]
    corners = " ".join(f"{x},{y}" for x, y in (*tops, *reversed(lows)))
    return f'<polygon class="band" points="{corners}"/>'


def path(kind: str, spots: Sequence[tuple[float, float]]) -> str:
    """Return a line through places of the chart."""
    return f'<polyline class="{kind}" points="{" ".join(f"{x},{y}" for x, y in spots)}"/>'


def svg(name: str, title: str, told: str, parts: Sequence[str]) -> Markup:
    """Return a chart of these parts, with its title and description."""
    return Markup(
        '<svg class="chart" viewBox="0 0 400 220" role="img" aria-labelledby="{n}-t {n}-d">'
        '<title id="{n}-t">{t}</title><desc id="{n}-d">{d}</desc>{b}</svg>'
    ).format(n=name, t=title, d=told, b=Markup("".join(parts)))
