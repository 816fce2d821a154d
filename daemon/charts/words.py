"""Words: numbers, times and stages as people read them."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

NOT_KNOWN = "-"
_PLAIN = re.compile(r"[A-Za-z0-9._~@:-]+")
STAGES: dict[str, tuple[str, str]] = {
    "offered": ("at the gate", "busy"),
    "gated": ("passed the gate", "busy"),
    "shadow": ("in shadow", "busy"),
    "canary": ("canary", "busy"),
    "promoted": ("promoted, baking", "good"),
    "settled": ("settled", "good"),
    "rolled_back": ("rolled back", "bad"),
    "superseded": ("ended without blame", "still"),
    "quarantined": ("refused before anybody met it", "bad"),
}
"""Stage to words and tone."""
METRICS = {
    "reward": "Reward",
    "feedback_rate": "Feedback rate",
    "keep_rate": "Kept text",
    "error_rate": "Failed answers",
    "cut_off_rate": "Cut-off or empty answers",
    "latency_p50": "Latency, median",
    "latency_p95": "Latency, 95th percentile",
    "length": "Tokens in an answer",
    "session_tokens": "Tokens in a session",
    "session_tool_calls": "Tool calls in a session",
    "cached_prompt_share": "Cached part of prompts",
}
MOST_CHANGE = 10.0
"""Largest change that is told as a number."""
OUTCOMES = {
    "PASS": "All goals are shown.",
    "FAIL": "Harm is shown.",
    "WAIT": "Not decided yet.",
    "NODATA": "Nobody has been served yet.",
}


def stage_words(stage: str, step: int = 0, steps: int = 0) -> str:
    """Return a stage in words.

    >>> stage_words("canary", 1, 4), stage_words("rolled_back"), stage_words("new_one")
    ('canary, step 2 of 4', 'rolled back', 'new one')
    """
    words = STAGES.get(stage, (stage.replace("_", " "), ""))[0]
    return f"{words}, step {step + 1} of {max(steps, step + 1)}" if stage == "canary" else words


def tone(stage: str) -> str:
    """Return the colour class of a stage: good, bad, busy or still."""
    return STAGES.get(stage, ("", "busy"))[1]


def fate_words(name: str) -> str:
    """Return a fate in words.

    >>> fate_words("excluded:too_old")
    'excluded: too old'
    """
    return name.replace(":", ": ").replace("_", " ")


def ago(at: float | None, now: float) -> str:
    """Return how long ago a time was.

    >>> ago(100.0, 220.0), ago(None, 0.0), ago(130.0, 100.0)
    ('2 min ago', '-', 'in 30 s')
    """
    if at is None:
        return NOT_KNOWN
    return f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"


def metric_words(name: str) -> str:
    """Return a metric's name in words.

    >>> metric_words("error_rate"), metric_words("my_score_p90")
    ('Failed answers', 'My score p90')
    """
    return METRICS.get(name) or name.replace("_", " ").capitalize()


def percent(value: float | None, *, sign: bool = True, digits: int = 1) -> str:
    """Return a share as percent; a dash where it is not known.

    >>> percent(0.0228), percent(-0.5), percent(None), percent(float("nan")), percent(0.5, sign=False)
    ('+2.3 %', '-50.0 %', '-', '-', '50.0 %')

    Relative to what is next to nothing everything is vast, and no number that anybody reads.

    >>> percent(1463.6), percent(-1463.6)
    ('over +1,000 %', 'under -1,000 %')
    """
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if sign and abs(value) > MOST_CHANGE:
        return "over +1,000 %" if value > 0 else "under -1,000 %"
    text = f"{100 * value:+.{digits}f}" if sign else f"{100 * value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return f"{text} %"


def between(low: float | None, high: float | None) -> str:
    """Return an interval in words.

    >>> between(-0.05, 0.1), between(None, None)
    ('-5.0 % to +10.0 %', 'not bounded yet')
    """
    if low is None or high is None:
        return "not bounded yet"
    return f"{percent(low)} to {percent(high)}"


def number(value: float | None) -> str:
    """Return a number with three digits or so.

    >>> number(0.72345), number(1234.5), number(12.0), number(None), number(0.0), number(4.21e-5)
    ('0.723', '1,234', '12.0', '-', '0', '4.2e-05')
    """
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if not value:
        return "0"
    size = abs(value)
    if size < 1e-3:
        return f"{value:.2g}"  # Three digits after the point would say 0.
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Return a length of time.

    >>> [duration(s) for s in (0.25, 42, 150, 7200, 9000, 200_000, 1e7, None)]
    ['under 1 s', '42 s', '2 min', '2 h', '2 h 30 min', '2 days 7 h', '115 days', '-']
    """
    if seconds is None or not math.isfinite(seconds):
        return NOT_KNOWN
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 and hours < 12 else f"{hours} h"
    days = hours // 24
    return f"{days} days {hours % 24} h" if hours % 24 and days < 7 else f"{days} days"


def moment(at: float) -> str:
    """Return a time in UTC.

    >>> moment(0.0)
    '1 Jan 1970, 00:00 UTC'
    """
    return time.strftime("%d %b %Y, %H:%M UTC", time.gmtime(at)).lstrip("0")


def short_moment(at: float) -> str:
    """Return a time of this year or so.

    >>> short_moment(0.0)
    '1 Jan 00:00'
    """
    return time.strftime("%d %b %H:%M", time.gmtime(at)).lstrip("0")


def short_version(version: str) -> str:
    """Return a version without its policy's name.

    >>> short_version("policy@v000017-3fa9c2e1")
    'v000017-3fa9c2e1'
    """
    return version.rpartition("@")[2]


def segment(name: str) -> str:
    """Return a name as one segment of a path, whatever is in it: a product chooses its ids.

    >>> segment("s1/g1?"), segment("../login")
    ('s1%2Fg1%3F', '..%2Flogin')
    """
    return quote(name, safe="@:")


def page_of(name: str, folder: str) -> str:
    """Return the address of a page of one thing, whatever that is called.

    A browser takes `.` and `..` for folders, and many a proxy reads `%2F` as a slash or refuses it, so
    names that are no plain segment of a path stand behind a question mark.

    >>> page_of("s1.g1", "/answers"), page_of("..", "/answers"), page_of("s1/g1", "/answers")
    ('/answers/s1.g1', '/answers/?id=..', '/answers/?id=s1%2Fg1')
    """
    plain = _PLAIN.fullmatch(name) and name not in (".", "..")
    return f"{folder}/{segment(name)}" if plain else f"{folder}/?id={quote(name, safe='@:')}"


FILTERS: Mapping[str, Any] = {
    "percent": percent,
    "number": number,
    "duration": duration,
    "moment": moment,
    "short_moment": short_moment,
    "short_version": short_version,
    "page_of": page_of,
    "metric_words": metric_words,
    "stage_words": stage_words,
    "tone": tone,
    "fate_words": fate_words,
    "ago": ago,
    "segment": segment,
}
"""What templates know beside jinja's own."""
