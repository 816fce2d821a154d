"""Written calls: the tool calls that stand in an answer's raw text.

A replay goes on from tokens, so that no server parses what comes. Read is what Qwen, Hermes and others
write: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. In another form they are text.
"""

import re
from collections.abc import Collection

import msgspec

from ...streams.events.tool_use import ToolCall

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"]+)"')


def written_calls(text: str, offered: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text without its calls, and these.

    A call fits nothing where no tool of its name was offered; what a schema takes is not known here.

    >>> text, (call,) = written_calls('<tool_call>{"name": "add", "arguments": {"a": 1</tool_call>', ["add"])
    >>> text, call.name, call.parses
    ('', 'add', False)
    """
    calls = [_read(written, place, offered) for place, written in enumerate(_CALL.findall(text), 1)]
    return _CALL.sub("", text).strip() if calls else text, tuple(calls)


def _read(written: str, place: int, offered: Collection[str]) -> ToolCall:
    try:
        told = msgspec.json.decode(written)
    except msgspec.DecodeError:
        told = None
    named = _NAME.search(written)
    name, arguments, parses = named[1] if named else "", written, False
    if isinstance(told, dict) and isinstance(told.get("name"), str):
        name = told["name"]
        given = told.get("arguments", told.get("parameters"))
        arguments, parses = msgspec.json.encode(given).decode(), isinstance(given, dict)
    known = None if name in offered else False
    return ToolCall(
        id=f"call-{place}", name=name[:512], arguments=arguments, parses=parses, fits=known
    )
