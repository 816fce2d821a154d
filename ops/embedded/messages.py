"""Messages: a chat's history as chat templates want it; nothing of it is dropped in silence."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...streams.events.limits import read_json
from .openai_api import RequestRefused

UNDERSTOOD = frozenset(("role", "content", "name", "tool_calls", "tool_call_id"))
"""Fields of a message that reach the template."""
WITHOUT_MEANING = frozenset(("refusal", "annotations", "audio", "function_call", "reasoning"))
"""Fields that clients send back as null with an answer of ours; with a value they are refused."""


def template_messages(messages: Sequence[Any], template: Any) -> list[dict[str, Any]]:
    """Return messages with their text parts joined and the arguments of tool calls parsed.

    As vLLM does. Raises RequestRefused, status 400, naming the place: where a message has no role,
    or something other than text, or a field that the chat template would drop.
    """
    return [
        _message(message, f"messages[{index}]", str(template))
        for index, message in enumerate(messages)
    ]


def _message(message: Any, where: str, template: str) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestRefused(400, f"{where}: a message is an object with a role", param=where)
    given = {name: value for name, value in message.items() if value not in (None, [])}
    for name in given.keys() - UNDERSTOOD:
        if name in WITHOUT_MEANING or "tool" in name:
            raise RequestRefused(400, f"{where}.{name}: is not understood", param=where)
    plain = {"role": message["role"], "content": _text(given.get("content", ""), where)}
    if "tool_calls" in given:
        if "tool_calls" not in template:
            reason = "this model's chat template knows no tool calls, and would drop them"
            raise RequestRefused(400, f"{where}.tool_calls: {reason}", param=where)
        plain["tool_calls"] = _tool_calls(given["tool_calls"], f"{where}.tool_calls")
    return plain | {name: given[name] for name in ("name", "tool_call_id") if name in given}


def _text(content: Any, where: str) -> str:
    if isinstance(content, list):
        if not all(isinstance(part, Mapping) and "text" in part for part in content):
            raise RequestRefused(400, f"{where}.content: only text is understood", param=where)
        content = "".join(str(part["text"]) for part in content)
    if not isinstance(content, str):
        raise RequestRefused(400, f"{where}.content: only text is understood", param=where)
    return content


def _tool_calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Return tool calls with their arguments as objects, which templates write as JSON."""
    if not isinstance(calls, list):
        raise RequestRefused(400, f"{where}: is a list of calls", param=where)
    parsed = []
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            message = f"{where}[{index}].function: is an object with a name"
            raise RequestRefused(400, message, param=where)
        arguments = function.get("arguments") or "{}"
        if isinstance(arguments, str):
            try:
                arguments = read_json(arguments)
            except ValueError as error:
                message = f"{where}[{index}].function.arguments: {error}"
                raise RequestRefused(400, message, param=where) from error
        parsed.append({**call, "function": {**function, "arguments": arguments}})
    return parsed
