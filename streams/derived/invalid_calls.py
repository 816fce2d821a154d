"""Invalid calls: calls of tools that no tool could run as they were written."""

from collections.abc import Iterator

from ..events.generation import Generation
from ..events.signals import ToolResult
from ..events.tool_use import ToolCall

WHOLE = frozenset(("stop", "tool_calls"))
"""Ends after which a call is as the model meant it: a cut one says nothing of the model."""


def invalid_calls(generation: Generation) -> Iterator[tuple[ToolCall, ToolResult]]:
    """Yield the invalid calls of an answer, whether or not the harness ever says so.

    A call is invalid where its arguments are no JSON, or do not fit the schema that was offered, or
    where no tool of its name was. A policy whose broken calls were left out has learnt to make them
    where it would fail (Composer's report).
    """
    if generation.finish_reason in WHOLE:
        for call in generation.tool_calls:
            if call.invalid:
                yield (
                    call,
                    ToolResult(tool=call.name or "unnamed", error_class="invalid_arguments"),
                )
