"""Registry: the parts and costs that a spec may name, and the functions behind their names.

A part is a pure function from an episode to a value in [0, 1], or None while its signal is open. A
cost is one to a number of at least 0 in its natural unit, or None where the record does not hold what
it needs. What a function takes besides the episode are its options, by keyword, each with a type and
a default: a spec sets them in `options`, or the first of them behind an @ (`kept@300`).
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.signals import (
    Checked,
    Copied,
    Edited,
    Escalated,
    Judged,
    Kept,
    Outcome,
    Rated,
    Resolved,
    Signal,
    ToolResult,
)
from ...streams.extensions import extension_names, load_extension
from ..costs.asking import asking
from ..costs.effort import effort
from ..costs.habits import (
    broken_calls,
    repeated,
    thinking_in_comments,
    todos_left,
    tool_collapse,
)
from ..parts.accepted import DECISIONS, accepted
from ..parts.checked import checked
from ..parts.copied import copied, copied_share
from ..parts.edit_similarity import edit_similarity
from ..parts.edit_survival import edit_survival, edit_words
from ..parts.kept import kept
from ..parts.outcome import outcome
from ..parts.rated import rated
from ..parts.resolved import resolved
from ..parts.satisfied import marked, satisfied
from ..parts.show_or_silent import show_or_silent
from ..parts.tool_ok import tool_ok
from ..parts.turned_down import interrupted, regenerated, undone
from ..parts.valid_calls import valid_calls
from .installed_value import InstalledValue

Value = Callable[[Episode], float | None]
Kinds = tuple[type[Signal], ...]

PARTS: dict[str, Callable[..., float | None]] = {
    "accepted": accepted,
    "edit_similarity": edit_similarity,
    "edit_words": edit_words,
    "edit_survival": edit_survival,
    "kept": kept,
    "rated": rated,
    "resolved": resolved,
    "outcome": outcome,
    "tool_ok": tool_ok,
    "valid_calls": valid_calls,
    "checked": checked,
    "copied": copied,
    "copied_share": copied_share,
    "show_or_silent": show_or_silent,
    "undone": undone,
    "interrupted": interrupted,
    "regenerated": regenerated,
    "satisfied": satisfied,
    "marked": marked,
}
"""The built-in parts; `kept@300` is `kept` at one horizon, `outcome@merged` one outcome."""
PART_KINDS: dict[str, Kinds] = {
    **dict.fromkeys(
        ("accepted", "show_or_silent", "undone", "interrupted", "regenerated"), DECISIONS
    ),
    **dict.fromkeys(("edit_similarity", "edit_words", "edit_survival"), (Edited,)),
    **dict.fromkeys(("copied", "copied_share"), (Copied,)),
    "kept": (Kept,),
    "rated": (Rated,),
    "resolved": (Resolved, Escalated),
    "outcome": (Outcome,),
    "tool_ok": (ToolResult,),
    "valid_calls": (ToolResult,),
    "checked": (Checked,),
    **dict.fromkeys(("satisfied", "marked"), (Judged,)),
}
"""Which kinds of signal a part reads: the profile of the last one of them counts, and where none came
there is nothing to ask it. What an installed part reads is not known: it is believed as it is, and is
always asked."""
NEEDS_NO_SIGNAL = frozenset(("show_or_silent",))
"""Parts that have a value of an answer that nobody did anything about."""
COSTS: dict[str, Callable[..., float | None]] = {
    "effort": effort,
    "asking": asking,
    "broken_calls": broken_calls,
    "todos_left": todos_left,
    "thinking_in_comments": thinking_in_comments,
    "tool_collapse": tool_collapse,
    "repeated": repeated,
}
"""The built-in costs."""


class Place(NamedTuple):
    """Where a spec names functions of one sort."""

    key: str
    """Key of the spec."""
    noun: str
    """For messages."""
    built_in: Mapping[str, Callable[..., float | None]]
    """What rlwd brings."""
    entry_points: str
    """Group of the entry points by which installed distributions add to it (experimental)."""
    most: float
    """Largest value that one may return; the smallest is 0."""

    @property
    def known(self) -> list[str]:
        """Names for a message, with what may follow them."""
        told = []
        for name, function in self.built_in.items():
            first = next(iter(option_fields(function)), None)
            told += [name] if first is None else [name, f"{name}@{first.upper()}"]
        return told + extension_names(self.entry_points)


PART_PLACE = Place("parts", "part", PARTS, "rlwd.reward_parts", 1.0)
COST_PLACE = Place("costs", "cost", COSTS, "rlwd.reward_costs", math.inf)


class Found(NamedTuple):
    """The function behind a name in a spec."""

    value: Value
    """The function, with its options filled in."""
    distribution: str
    """Name and version of the installed distribution that it is of; empty for a built-in one."""


def find(
    place: Place, key: str, name: str, options: Mapping[str, Any], *, under: str = ""
) -> Found:
    """Return the function behind a name, with its options and what follows its @ filled in.

    `key` is where it stands in the spec (`$.parts.kept`), `under` where in there its name does, when that
    is not the key itself. Raises ValueError naming them.
    """
    named = f"{key}.{under}" if under else key
    base, _, at = name.partition("@")
    if base in place.built_in and (at or "@" not in name):
        function = place.built_in[base]
        given = _at(place, named, function, at) if at else {}
        filled = fill_options(function, {**given, **options}, key, clash=given.keys() & options)
        return Found(filled, "")
    installed = load_extension(place.entry_points, name, f"$.{place.key}")
    if installed is None:
        raise ValueError(f"{named}: no such {place.noun}; known: {', '.join(place.known)}")
    filled = fill_options(installed.function, options, key, clash=())
    checked = InstalledValue(key, installed, filled, place.most)
    return Found(checked, installed.distribution)


@cache
def option_fields(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return a function's options: type and default by name, in order."""
    taken = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    return {
        one.name: (Any if one.annotation is one.empty else one.annotation, one.default)
        for one in taken
        if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
    }


def fill_options(
    function: Callable[..., float | None], given: Mapping[str, Any], key: str, *, clash: Any
) -> Value:
    """Return a function of the episode alone; raises ValueError with the path of a wrong option."""
    known = option_fields(function) if given else {}
    filled = {}
    for name, value in given.items():
        path = f"{key}.options.{name}"
        if name not in known:
            raise ValueError(f"{path}: no such option; known: {', '.join(known) or 'none'}")
        if name in clash:
            raise ValueError(f"{path}: is given behind the @ already")
        try:
            filled[name] = msgspec.convert(value, known[name][0])
        except msgspec.ValidationError as problem:
            raise ValueError(f"{path}: {problem}") from problem
        if isinstance(value, str) and (not value.strip() or not value.isprintable()):
            raise ValueError(f"{path}: {value!r} names nothing")
        if isinstance(filled[name], float) and not math.isfinite(filled[name]):
            raise ValueError(f"{path}: must be a finite number, not {value}")
    return partial(function, **filled) if filled else function


def _at(place: Place, key: str, function: Callable[..., Any], at: str) -> dict[str, Any]:
    first = next(iter(option_fields(function).items()), None)
    if first is not None:
        name, (kind, _) = first
        try:
            return {name: msgspec.convert(at, kind, strict=False)}
        except msgspec.ValidationError:
            pass
    raise ValueError(f"{key}: no such {place.noun}; known: {', '.join(place.known)}")
