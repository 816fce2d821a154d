"""Overview: what serves, what is being let out, and what is wrong, in the shape of its template."""

from collections.abc import Mapping
from typing import Any

from ..charts.chart import share_bar
from ..charts.words import fate_words

FATES = ("trained", "waiting", "censored", "excluded", "dead_lettered")
"""Kinds of fates in the order of the bar; each is a class of the style sheet."""
PARTS = {
    "waiting_for_batch": "waiting for a batch",
    "learning": "learning",
    "gate_and_first_answer": "gate and first answer",
}


def overview(
    status: Mapping[str, Any], live: Mapping[str, Any], problems: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the page says of the tables and of the moment."""
    fates = fates_of(status["fates"], status["generations"])
    return {
        "tables": status,
        "live": live,
        "problems": problems,
        "served": status["event_to_served_s"],
        "stretches": [
            (PARTS.get(name, name), seconds)
            for name, seconds in status["event_to_served_s"]["parts"].items()
        ],
        "fates": fates,
        "fate_bar": share_bar(
            "fates",
            "Generations by fate",
            [(one["name"], one["share"], one["kind"]) for one in fates],
        ),
    }


def fates_of(fates: Mapping[str, int], known: int) -> list[dict[str, Any]]:
    """Return fates in the order of the bar, each with its share of the generations known."""
    return [
        {
            "fate": name,
            "name": fate_words(name),
            "kind": _kind(name),
            "count": count,
            "share": count / max(known, 1),
        }
        for name, count in sorted(fates.items(), key=_rank)
    ]


def _kind(name: str) -> str:
    kind = name.partition(":")[0]
    return kind if kind in FATES else "censored"


def _rank(fate: tuple[str, int]) -> tuple[int, str]:
    kind = fate[0].partition(":")[0]
    return (FATES.index(kind) if kind in FATES else len(FATES), fate[0])
