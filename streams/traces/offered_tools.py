"""Offered tools: names and digests of what a recorded request offered."""

from collections.abc import Mapping
from typing import Any

from ..events.tool_use import MOST_TOOLS, OfferedTool, tool_digest


def offered_tools(tools: Any) -> tuple[OfferedTool, ...]:
    """Return the tools of a request: OpenAI's, Anthropic's, or as OpenTelemetry writes them."""
    found = []
    for tool in tools[:MOST_TOOLS] if isinstance(tools, list) else ():
        if isinstance(tool, Mapping):
            function = tool.get("function")
            name = (function if isinstance(function, Mapping) else tool).get("name")
            if isinstance(name, str) and name:
                found.append(OfferedTool(name=name[:512], digest=tool_digest(tool)))
    return tuple(found)
