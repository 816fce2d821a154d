"""MessagesRequest: a request of Anthropic's Messages API, as the chat door is asked it.

Fields as in Anthropic's reference, `POST /v1/messages`, and in anthropic-sdk-python 2.12,
`types/message_create_params.py`.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from .asked_fields import AskedFields
from .door import ChatRequest
from .messages_content import chat_messages
from .messages_errors import NO_THREADS
from .responses_request import ENGINE_FIELDS

_SAME = ("model", "stream", "temperature", "top_p")
_COMFORT = (
    *("service_tier", "cache_control", "context_management", "speed", "inference_geo"),
    *("diagnostics", "betas"),
)
_MAPPED = (
    *("messages", "system", "max_tokens", "stop_sequences", "tools", "tool_choice", "metadata"),
    *("thinking", "output_config", "output_format"),
)
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
# The highest that chat knows by name everywhere.
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


def messages_request(body: Mapping[str, Any]) -> ChatRequest:
    """Return the request of the chat door. Raises ValueError with the path of what cannot be mapped."""
    asked, ignored = AskedFields(body), list[str]()
    for name in asked.present():
        if name in _COMFORT:
            ignored.append(name)
        elif name == "thread":
            asked.refuse(name, NO_THREADS)
        elif name not in (*_SAME, *ENGINE_FIELDS, *_MAPPED):
            asked.refuse(name, "cannot be mapped onto a chat")
    longest = asked.get("max_tokens")
    if type(longest) is not int or longest < 1:
        asked.refuse("max_tokens", "must be a whole number of at least 1")
    chat = asked.copied((*_SAME, *ENGINE_FIELDS))
    chat |= {"messages": chat_messages(asked), "max_completion_tokens": longest}
    _map_prefill(asked, chat)
    if asked.get("stop_sequences"):
        chat["stop"] = asked.get("stop_sequences")
    tools = [_tool(tool) for tool in asked.each("tools")]
    if tools:
        chat["tools"] = tools
    _map_choice(asked.fields("tool_choice"), chat)
    _map_thinking(asked.fields("thinking"), chat, ignored)
    _map_output(asked, chat)
    _map_metadata(asked.fields("metadata"), chat)
    return ChatRequest(body=chat, ignored=tuple(ignored))


def _map_prefill(asked: AskedFields, chat: dict[str, Any]) -> None:
    """Have the answer go on from what the client wrote of it; nothing, and it begins anew."""
    last = chat["messages"][-1]
    if last["role"] != "assistant":
        return
    if "tool_calls" in last:
        asked.refuse("messages", "the last one calls a tool, and no result follows")
    if last["content"]:
        chat |= {"continue_final_message": True, "add_generation_prompt": False}
    elif len(chat["messages"]) == 1:
        asked.refuse("messages", "must hold something")
    else:
        chat["messages"].pop()


def messages_count(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an engine's `/tokenize` is asked for `POST /v1/messages/count_tokens`.

    Raises ValueError with the path of what could not be asked for, either.
    """
    return messages_request({"max_tokens": 1, **body}).what_is_read()


def _tool(tool: AskedFields) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        kind = tool.get("type")
        tool.refuse("type", f"{kind!r}: only custom tools; the tools of a server are not here")
    tool.text("name")
    function = tool.copied(("name", "description"))
    function["parameters"] = tool.fields("input_schema").told
    if tool.get("strict"):
        function["strict"] = True
    return {"type": "function", "function": function}


def _map_choice(choice: AskedFields, chat: dict[str, Any]) -> None:
    kind = choice.get("type")
    if kind == "tool":
        function = {"name": choice.text("name")}
        chat["tool_choice"] = {"type": "function", "function": function}
    elif isinstance(kind, str) and kind in _CHOICES:
        chat["tool_choice"] = _CHOICES[kind]
    elif choice.told:
        choice.refuse("type", "must be auto, any, tool or none")
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _map_thinking(thinking: AskedFields, chat: dict[str, Any], ignored: list[str]) -> None:
    """Tell thinking where it is asked for. Whether the model thinks is its template's to say."""
    kind = thinking.get("type")
    if kind not in (None, "enabled", "adaptive", "disabled"):
        thinking.refuse("type", "must be enabled, adaptive or disabled")
    if kind in (None, "disabled") or thinking.get("display") == "omitted":
        chat["include_reasoning"] = False
    ignored += [thinking.place(name) for name in thinking.present() if name == "budget_tokens"]


def _map_output(asked: AskedFields, chat: dict[str, Any]) -> None:
    output = asked.fields("output_config")
    for name in output.present():
        if name not in ("effort", "format"):
            output.refuse(name, "cannot be mapped onto a chat")
    effort = output.get("effort")
    if effort is not None:
        if effort not in _EFFORTS:
            output.refuse("effort", f"must be one of {', '.join(_EFFORTS)}")
        chat["reasoning_effort"] = _EFFORTS[effort]
    for form in (output.fields("format"), asked.fields("output_format")):
        if not form.told:
            continue
        if form.get("type") != "json_schema":
            form.refuse("type", "only json_schema can be mapped onto a chat")
        schema = {"name": "output", "schema": form.fields("schema").told, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}


def _map_metadata(metadata: AskedFields, chat: dict[str, Any]) -> None:
    ours = {name: value for name, value in metadata.told.items() if name != "user_id"}
    if ours:
        chat["metadata"] = ours
    if metadata.get("user_id") is not None:
        user, session = user_and_session(metadata.text("user_id"))
        chat["user"] = user
        if session:
            chat.setdefault("session_id", session)


def user_and_session(user_id: str) -> tuple[str, str]:
    """Return the user of a `metadata.user_id`, and the session where it names one; else an empty string.

    Claude Code writes both into one id: `user_…_account_…_session_UUID`, or a JSON object with a
    `session_id`. Taken whole it would be another person in each session.

    >>> user_and_session("ann")
    ('ann', '')
    >>> user_and_session("user_1f_account_2e_session_0b1c")
    ('user_1f_account_2e', '0b1c')
    >>> user_and_session('{"device_id":"d","account_uuid":"a","session_id":"s"}')
    ('account_uuid=a device_id=d', 's')
    """
    if user_id.startswith("{"):
        return _user_object(user_id)
    user, found, session = user_id.rpartition("_session_")
    return (user, session) if found and user and session else (user_id, "")


def _user_object(user_id: str) -> tuple[str, str]:
    try:
        told = orjson.loads(user_id)
    except orjson.JSONDecodeError:
        return user_id, ""
    session = told.pop("session_id", "")
    named = " ".join([f"{name}={value}" for name, value in sorted(told.items()) if value])
    return (named or user_id), session if isinstance(session, str) else ""
