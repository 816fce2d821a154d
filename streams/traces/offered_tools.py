"""Offered tools: names and digests of what a recorded request offered."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from ..events.tool_use import OfferedTool

MOST_TOOLS = 1024


def offered_tools(tools: Any) -> tuple[OfferedTool, ...]:
    """Return the tools of a request: OpenAI's, Anthropic's, or as OpenTelemetry writes them."""
    found = []
    for tool in tools[:MOST_TOOLS] if isinstance(tools, list) else ():
        if isinstance(tool, Mapping):
            function = tool.get("function")
            name = (function if isinstance(function, Mapping) else tool).get("name")
            if isinstance(name, str) and name:
                written = orjson.dumps(tool, option=orjson.OPT_SORT_KEYS)
                digest = hashlib.sha256(written).hexdigest()[:16]
                found.append(OfferedTool(name=name[:512], digest=digest))
    return tuple(found)
