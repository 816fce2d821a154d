"""Tool rows: which tools answers called, and how often, as their shares are compared."""

from collections.abc import Mapping, Sequence

from ...rewards.behaviours.behaviour import TOOL
from .drift_answers import DriftAnswer
from .segment_mix import DriftRow

MOST_TOOLS = 8
"""Tools whose shares are compared: the first that were called."""


def first_tools(ours: Sequence[DriftAnswer], theirs: Sequence[DriftAnswer]) -> list[str]:
    """Return the first tools that either side called: of a later look the same ones."""
    found = dict[str, None]()
    for one in sorted((*ours, *theirs), key=lambda one: (one.received, one.generation_id)):
        found.update(dict.fromkeys(sorted(_calls(one.behaviours))))
        if len(found) >= MOST_TOOLS:
            break
    return list(found)[:MOST_TOOLS]


def tool_rows(answers: Sequence[DriftAnswer], tool: str) -> list[DriftRow]:
    """Return, of each answer that calls any tool, how many of its calls are of this one."""
    calls = ((one, _calls(one.behaviours)) for one in answers)
    return [
        DriftRow(one.user, made.get(tool, 0.0), sum(made.values()), one.segment)
        for one, made in calls
        if made
    ]


def _calls(behaviours: Mapping[str, float]) -> dict[str, float]:
    return {name[len(TOOL) :]: count for name, count in behaviours.items() if name.startswith(TOOL)}
