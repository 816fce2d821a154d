"""Written calls: the tool calls that stand in an answer's raw text, in the form of Hermes and Qwen.

`<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as vLLM's parser `hermes` reads them: an answer of
which one call cannot be read has none, and stays text whole.
"""

import json
import re
from typing import NamedTuple

BEGIN = "<tool_call>"
_CALL = re.compile(rf"{BEGIN}(.*?)(?:</tool_call>|\Z)", re.DOTALL)


class WrittenCall(NamedTuple):
    """One call."""

    name: str
    """Name of the tool."""
    arguments: str
    """Its arguments, JSON."""


def written_calls(text: str) -> tuple[str, list[WrittenCall]]:
    """Return what an answer says before its calls, and these.

    >>> written_calls('Hm.<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>')
    ('Hm.', [WrittenCall(name='f', arguments='{"a": 1}')])
    >>> written_calls('Hm.<tool_call>{"name": "f", "arguments": }</tool_call>')[1]
    []
    """
    found = []
    for written in _CALL.findall(text):
        try:
            call = json.loads(written)
            arguments = json.dumps(call["arguments"], ensure_ascii=False)
            name = call["name"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return text, []
        if not isinstance(name, str):
            return text, []
        found.append(WrittenCall(name, arguments))
    return (text[: text.find(BEGIN)] if found else text), found
