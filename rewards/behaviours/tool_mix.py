"""Tool mix: which tools an answer calls, how well, and whether it knows only one of them."""

from collections import Counter

from ...streams.derived.invalid_calls import unread_call
from ...streams.events.generation import Generation
from .answer_view import view_of

LEAST_CALLS = 4
"""Calls from which on a mix can be told."""


def tool_counts(generation: Generation) -> dict[str, int] | None:
    """Return how often an answer calls each tool, by name; None without content."""
    if not view_of(generation).holds:
        return None
    return dict(Counter(call.name for call in generation.tool_calls))


def tool_share(generation: Generation, tool: str) -> float | None:
    """Return the share of an answer's calls that are of one tool; None where it calls none."""
    counts = tool_counts(generation)
    return counts.get(tool, 0) / sum(counts.values()) if counts else None


def one_tool(generation: Generation) -> float | None:
    """Return the share of the tool that an answer calls most, of its calls: 1 is a collapse.

    None with fewer than four calls, or where fewer than two tools were offered: there was no choice.
    A version whose answers each call one tool is told by the shares of tools over many answers.
    """
    calls = len(generation.tool_calls)
    if calls < LEAST_CALLS or len({tool.name for tool in generation.tools}) < 2:
        return None
    counts = tool_counts(generation)
    return max(counts.values()) / calls if counts else None


def invalid_calls(generation: Generation) -> float | None:
    """Return the share of an answer's calls that no tool could run as they were written.

    A call that the engine could not read, and left in the text, is one of them. None where it calls
    none, or without content.
    """
    if not view_of(generation).holds:
        return None
    unread = unread_call(generation) is not None
    calls = len(generation.tool_calls) + unread
    return (sum(call.invalid for call in generation.tool_calls) + unread) / calls if calls else None
