"""Messages: what was said in a recorded conversation, in whatever shape the recorder wrote it.

Read are OpenAI's chat messages, Anthropic's blocks, LangChain's messages and OpenTelemetry's parts,
since products mix them: a gateway of one kind records requests of another.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from ..events.tool_use import ToolCall

ROLES = {
    "human": "user",
    "ai": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "function": "tool",
    "observation": "tool",
    "toolResult": "tool",
}
"""Other names of roles."""
_TEXT = frozenset(("text", "input_text", "output_text", "refusal"))
_THOUGHT = frozenset(("thinking", "reasoning"))
_CALL = frozenset(("tool_use", "toolCall", "tool_call", "function_call"))
_RESULT = frozenset(("tool_result", "tool_call_response", "function_call_output"))


class Message(NamedTuple):
    """One message of a conversation."""

    role: str
    """system, developer, user, assistant, tool."""
    text: str = ""
    """What it says."""
    reasoning: str = ""
    """What was thought before it."""
    calls: tuple[ToolCall, ...] = ()
    """Tools that it calls."""
    call_id: str | None = None
    """For a tool's result: the call that it answers."""
    name: str | None = None
    """Who says it, where that is told."""
    is_error: bool | None = None
    """For a tool's result: whether it failed, where that is told."""
    attachments: int = 0
    """Parts that are no text."""


def messages_of(value: Any, path: str = "$.messages") -> list[Message]:
    """Read a list of messages, or one text as what a person said.

    Raises ValueError with the path of what is no message.
    """
    if isinstance(value, str):
        return [Message("user", value)]
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{path}: is no list of messages")
    # LangSmith records a batch of conversations, of which there is always one.
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return [said for at, one in enumerate(value) for said in message_of(one, f"{path}[{at}]")]


def message_of(raw: Any, path: str = "$.message") -> list[Message]:
    """Read one message; one that holds results of tools beside a text is several."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"{path}: is no message but {type(raw).__name__}")
    raw = _unwrapped(raw)
    role = raw.get("role") or raw.get("from") or raw.get("type")
    if not isinstance(role, str) or not role:
        raise ValueError(f"{path}.role: is missing")
    content = raw.get("content", raw.get("value", raw.get("parts")))
    parts = _Parts()
    parts.read(content)
    calls = [*parts.calls, *_listed_calls(raw)]
    reasoning = "\n".join([*parts.thoughts, *_texts(raw, "reasoning_content", "reasoning")])
    role = ROLES.get(role, role)[:64]
    name = _text_or_none(raw.get("name") or raw.get("toolName"))
    call_id = _text_or_none(raw.get("tool_call_id") or raw.get("toolCallId"))
    said = list(parts.results)
    text = "\n".join(parts.texts)
    alone = said and not (text or reasoning or calls or parts.attachments)
    if not alone:
        failed = raw.get("is_error", raw.get("isError"))
        if raw.get("status") in ("error", "success") and role == "tool":
            failed = raw["status"] == "error"
        error = failed if isinstance(failed, bool) else None
        said.append(
            Message(role, text, reasoning, tuple(calls), call_id, name, error, parts.attachments)
        )
    return said


def tool_call(id: Any, name: Any, arguments: Any, offered: Sequence[str] | None = None) -> ToolCall:
    """Return a call of a tool; arguments that are no text are written as JSON.

    Whether they fit is only known of a tool that was not offered: a recording has no schemas.
    """
    written = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    called = str(name or "")[:512]
    try:
        orjson.loads(written)
        parses = True
    except ValueError:
        parses = False
    fits = None if parses and (offered is None or called in offered) else False
    return ToolCall(
        id=str(id or "")[:512], name=called, arguments=written, parses=parses, fits=fits
    )


def text_of(content: Any) -> str:
    """Return the text of a content, whatever its shape."""
    parts = _Parts()
    parts.read(content)
    return "\n".join(parts.texts)


class _Parts:
    """What a content holds, by kind."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []
        self.attachments = 0

    def read(self, content: Any) -> None:
        """Read a text, or a list of parts."""
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, Mapping):
            self._part(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, str):
                    self.texts.append(part)
                elif isinstance(part, Mapping):
                    self._part(part)

    def _part(self, part: Mapping[str, Any]) -> None:
        kind = str(part.get("type", "text" if "text" in part else ""))
        if kind in _TEXT:
            self.texts += _texts(part, "text", "content", "refusal")[:1]
        elif kind in _THOUGHT:
            self.thoughts += _texts(part, "thinking", "reasoning", "content", "text")[:1]
        elif kind in _CALL:
            arguments = part.get("input", part.get("arguments", part.get("args")))
            id = part.get("call_id") or part.get("id")
            self.calls.append(tool_call(id, part.get("name"), arguments))
        elif kind in _RESULT:
            self.results.append(_result(part))
        elif kind != "redacted_thinking":
            self.attachments += 1


def _result(part: Mapping[str, Any]) -> Message:
    value = part.get("content", part.get("response", part.get("result", part.get("output"))))
    id = part.get("tool_use_id") or part.get("call_id") or part.get("id")
    failed = part.get("is_error")
    inner = _Parts()
    if isinstance(value, str | list):
        inner.read(value)
    elif value is not None:
        inner.texts.append(orjson.dumps(value).decode())
    return Message(
        "tool",
        "\n".join(inner.texts),
        call_id=_text_or_none(id),
        name=_text_or_none(part.get("name")),
        is_error=failed if isinstance(failed, bool) else None,
        attachments=inner.attachments,
    )


def _listed_calls(raw: Mapping[str, Any]) -> list[ToolCall]:
    found = []
    listed = raw.get("tool_calls")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping):
            function = one.get("function")
            told = function if isinstance(function, Mapping) else one
            arguments = told.get("arguments", told.get("args"))
            found.append(tool_call(one.get("id"), told.get("name"), arguments))
    if isinstance(raw.get("function_call"), Mapping):
        call = raw["function_call"]
        found.append(tool_call("", call.get("name"), call.get("arguments")))
    return found


def _unwrapped(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a serialised LangChain message says: kind and fields stand in two places."""
    if raw.get("type") == "constructor" and isinstance(raw.get("kwargs"), Mapping):
        named = raw.get("id")
        kind = str(named[-1]) if isinstance(named, list) and named else ""
        role = kind.removesuffix("Chunk").removesuffix("Message").lower()
        fields = {**raw["kwargs"], "role": role}
    elif isinstance(raw.get("data"), Mapping) and isinstance(raw.get("type"), str):
        fields = {**raw["data"], "role": raw["type"]}
    else:
        return raw
    more = fields.get("additional_kwargs")
    return (
        {**more, **fields} if isinstance(more, Mapping) and not fields.get("tool_calls") else fields
    )


def _texts(raw: Mapping[str, Any], *names: str) -> list[str]:
    return [raw[name] for name in names if isinstance(raw.get(name), str) and raw[name]]


def _text_or_none(value: Any) -> str | None:
    return value[:512] if isinstance(value, str) and value else None
