"""Behaviour: what an answer does, read off its record, by name."""

from collections.abc import Callable, Iterable

from ...streams.events.generation import Generation
from .asks import asks
from .comments import reasoning_in_comments
from .content import holds_answer
from .cut_off import breaks_off
from .digits import digits
from .likeness import copies_request, likeness
from .refuses import refuses
from .repetition import repetition
from .todos import unfinished_todos
from .tool_mix import invalid_calls, one_tool, tool_counts

Behaviour = Callable[[Generation], float | bool | None]
"""A pure function of the record; None where the record does not hold what it needs."""

BEHAVIOURS: dict[str, Behaviour] = {
    "asks": asks,
    "refuses": refuses,
    "invalid_calls": invalid_calls,
    "one_tool": one_tool,
    "unfinished_todos": unfinished_todos,
    "reasoning_in_comments": reasoning_in_comments,
    "repetition": repetition,
    "likeness": likeness,
    "copies_request": copies_request,
    "breaks_off": breaks_off,
    "digits": digits,
}
"""Every behaviour by the name that metrics, costs and the drift watch know it by."""
TOOL = "tool:"
"""Before a tool's name: how often an answer calls it."""


def measure(generation: Generation, names: Iterable[str]) -> dict[str, float] | None:
    """Return the named behaviours of an answer as numbers, and how often it calls each tool.

    A behaviour that cannot be told is left out; None where the record holds no answer at all.
    Raises KeyError for a name that is none.
    """
    if not holds_answer(generation):
        return None
    found = dict[str, float]()
    for name in names:
        value = BEHAVIOURS[name](generation)
        if value is not None:
            found[name] = round(float(value), 4)
    if generation.tool_calls:
        for tool, count in (tool_counts(generation) or {}).items():
            found[TOOL + tool] = count
    return found
