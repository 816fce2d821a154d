"""Page: what the daemon says of itself, for a browser; it asks again every five seconds."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template

from .snapshot import difference_of, users_on_trial

SHOWN = 30
"""Most versions on the page; `rlwd status` has all."""
COLOURS = {
    "trained": "#1f9d61",
    "waiting": "#4c8dff",
    "dead_lettered": "#d64a3f",
    "censored": "#a3acb9",
    "excluded": "#d9a441",
}
TONES = {
    "settled": "good",
    "promoted": "good",
    "canary": "busy",
    "shadow": "busy",
    "gated": "busy",
    "offered": "busy",
    "rolled_back": "bad",
    "quarantined": "bad",
}


def render(status: Mapping[str, Any], live: Mapping[str, Any], problems: Mapping[str, str]) -> str:
    """Return the page as HTML; all that people or models wrote is escaped."""
    total = max(status["generations"], 1)
    return _template().render(
        {
            **status,
            "live": live,
            "problems": problems,
            "served": status["event_to_served_s"],
            "fates": [
                {"name": name, "count": count, "share": count / total, "colour": _colour(name)}
                for name, count in sorted(status["fates"].items(), key=_rank)
            ],
            "versions": [_row(version) for version in reversed(status["versions"][-SHOWN:])],
            "batches": ", ".join(f"{n} {state}" for state, n in status["batches"].items())
            or "none",
        }
    )


def _rank(fate: tuple[str, int]) -> tuple[int, str]:
    kind = fate[0].partition(":")[0]
    return (list(COLOURS).index(kind) if kind in COLOURS else len(COLOURS), fate[0])


def _colour(fate: str) -> str:
    return COLOURS.get(fate.partition(":")[0], "#a3acb9")


def _row(version: Mapping[str, Any]) -> dict[str, str]:
    numbers = version["numbers"]
    difference = numbers.get("ab/diff")
    spread = numbers.get("ab/standard_error")
    return {
        "version": version["version"],
        "stage": version["stage"],
        "tone": TONES.get(version["stage"], "still"),
        "difference": difference_of(difference, spread),
        "users": users_on_trial(numbers),
        "why": version["why"],
    }


@cache
def _template() -> Template:
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return pages.get_template("page.html")
