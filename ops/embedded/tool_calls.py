"""Tool calls: the calls that an answer makes in the form of Hermes and Qwen, as vLLM's parser `hermes` reads them.

An answer of which one call cannot be read stays text whole, as there: what wrote it is not hidden.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from ...streams.derived.written_calls import written_calls
from .openai_api import RequestRefused


def offered_tools(body: Mapping[str, Any], template: Any) -> list[Any]:
    """Return the tools that the answer may call; none where `tool_choice` is `none`.

    Raises RequestRefused, status 400, where they are no tools, where the chat template would drop
    them, or where a call is asked for: that needs a grammar.
    """
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools and choice not in (None, "none", "auto"):
        raise RequestRefused(400, "tool_choice: there are no tools", param="tool_choice")
    if not tools or choice == "none":
        return []
    if choice not in (None, "auto"):
        raise RequestRefused(400, "the embedded engine has no grammars", param="tool_choice")
    if not isinstance(tools, list) or not all(_is_tool(tool) for tool in tools):
        raise RequestRefused(400, "tools must be functions, each with a name", param="tools")
    if "tools" not in str(template):
        reason = "this model's chat template knows no tools, and would drop them"
        raise RequestRefused(400, f"tools: {reason}", param="tools")
    return tools


def _is_tool(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


def message_of(text: str) -> dict[str, Any]:
    """Return what an answer says and calls, as fields of its message.

    >>> message_of('Hm.<tool_call>{"name": "f", "arguments": }</tool_call>')
    {'content': 'Hm.<tool_call>{"name": "f", "arguments": }</tool_call>'}
    """
    said, written = written_calls(text)
    if not written:
        return {"content": text}
    calls = [
        {"id": f"call-{uuid.uuid4().hex}", "type": "function", "function": one._asdict()}
        for one in written
    ]
    return {"content": said or None, "tool_calls": calls}
