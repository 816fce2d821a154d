"""Behaviour: what an answer does, read off its record, by name."""

import zlib
from collections.abc import Callable, Iterable

import msgspec

from ...streams.events.generation import Generation
from .answer_view import view_of
from .asks import asks
from .comments import reasoning_in_comments
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
_ENCODE = msgspec.json.Encoder().encode
TOOL = "tool:"
"""Before a tool's name: how often an answer calls it."""


class Measuring:
    """Measures answers as ingest keeps them: JSON of numbers by name, None where nothing is held.

    Of the champion's users, who are most of all, a fixed sample is measured, one in `one_in`: what is
    compared with them are few, and all of them would cost ingest more than they would show.
    """

    def __init__(self, names: Iterable[str], one_in: int = 1) -> None:
        """`names` are of BEHAVIOURS; raises KeyError for one that is not."""
        self.names, self.one_in = tuple(sorted(set(names))), one_in
        for name in self.names:
            BEHAVIOURS[name]

    def __call__(self, generation: Generation) -> str | None:
        """Return what an answer does; numbers stay where its text is forgotten."""
        if (
            generation.variant == "champion"
            and self.one_in > 1
            and zlib.crc32(generation.user_hash.encode()) % self.one_in
        ):
            return None
        found = measure(generation, self.names) if self.names else None
        return None if found is None else _ENCODE(found).decode()


def measure(generation: Generation, names: Iterable[str]) -> dict[str, float] | None:
    """Return the named behaviours of an answer as numbers, and how often it calls each tool.

    A behaviour that cannot be told is left out; None where the record holds no answer at all.
    Raises KeyError for a name that is none.
    """
    if not view_of(generation).holds:
        return None
    found: dict[str, float] = {}
    for name in names:
        value = BEHAVIOURS[name](generation)
        if value is not None:
            found[name] = round(float(value), 4)
    if generation.tool_calls:
        for tool, count in (tool_counts(generation) or {}).items():
            found[TOOL + tool] = count
    return found
