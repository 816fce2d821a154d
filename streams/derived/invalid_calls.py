"""Invalid calls: calls of tools that no tool could run as they were written."""

import json
import re
from collections.abc import Iterator

from ..events.generation import Generation
from ..events.signals import ToolResult
from ..events.tool_use import ToolCall

_JSON = json.JSONDecoder()
WHOLE = frozenset(("stop", "tool_calls"))
"""Ends after which a call is as the model meant it: a cut one says nothing of the model."""


_MARKS = re.compile(
    r"^[ \t]*(?:<tool_calls?>|<function(?:=|_call>)|<invoke name=|\[TOOL_CALLS?\]|functools\["
    r"|<\|?(?:python_tag|tool_calls?)\|?>|<｜tool▁calls?▁begin｜>)"
    r"|\A\s*\{\s*\"name\"\s*:\s*\"(?P<name>[^\"]{1,128})\"",
    re.MULTILINE,
)
"""How calls begin in the templates of the families of models: Hermes and Qwen, Llama, Mistral, Granite,
DeepSeek. An engine that reads a call takes this away."""


def unread_call(generation: Generation) -> str | None:
    """Return a call that the engine left in an answer's text, since it could not read it; or None.

    Only where the request offered tools and the answer came to its end, at the beginning of a line,
    and not inside a block of code: there it is talked about. One that is in order was left there by
    an engine that reads another form, which is no fault of the model's.
    """
    text = generation.text
    if not generation.tools or generation.finish_reason not in WHOLE or not text:
        return None
    for found in _MARKS.finditer(text):
        named = found["name"]
        if named is not None and named not in {tool.name for tool in generation.tools}:
            continue
        rest = text[found.start() :]
        if text.count("```", 0, found.start()) % 2 == 0 and not _in_order(rest):
            return rest
    return None


def _in_order(call: str) -> bool:
    begins = call.find("{")
    if begins < 0 or call.startswith(("<function=", "<invoke")):
        return "</function>" in call or "</invoke>" in call
    try:
        _JSON.raw_decode(call, begins)
    except (ValueError, RecursionError):
        return "</function>" in call
    return True


def invalid_calls(generation: Generation) -> Iterator[tuple[ToolCall, ToolResult]]:
    """Yield the invalid calls of an answer, whether or not the harness ever says so.

    A call is invalid where its arguments are no JSON, or do not fit the schema that was offered, or
    where no tool of its name was, or where the engine could not read it and left it in the text. A policy whose broken calls were left out has learnt to make them
    where it would fail (Composer's report).
    """
    if generation.finish_reason in WHOLE:
        for call in generation.tool_calls:
            if call.invalid:
                yield (
                    call,
                    ToolResult(tool=call.name or "unnamed", error_class="invalid_arguments"),
                )
    unread = unread_call(generation)
    if unread is not None:
        yield (
            ToolCall(id="", name="", arguments=unread, parses=False, fits=None),
            ToolResult(tool="unnamed", error_class="invalid_arguments"),
        )
