"""ResponsesItems: the input of a Responses request, item by item, as messages of a chat."""

from collections.abc import Mapping
from typing import Any

from .asked_fields import AskedFields
from .responses_tools import called_name

_NOT_KEPT = "nothing is kept here to refer to; send the item itself (store: false)"
# Chat templates know no developer.
_ROLES = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}


def input_messages(asked: AskedFields) -> list[dict[str, Any]]:
    """Return a request's instructions and input. Raises ValueError with the path of what is no text,
    image or call of a function.
    """
    messages = list[dict[str, Any]]()
    if asked.get("instructions") is not None:
        messages.append({"role": "system", "content": asked.text("instructions")})
    if isinstance(asked.get("input"), str):
        messages.append({"role": "user", "content": asked.text("input")})
    elif asked.get("input") is None:
        asked.refuse("input", "must be a string or a list of items")
    else:
        for item in asked.each("input"):
            _add(messages, item)
    if not messages:
        asked.refuse("input", "must hold something")
    return messages


def _add(messages: list[dict[str, Any]], item: AskedFields) -> None:
    kind = item.get("type") or ("message" if item.get("role") is not None else None)
    if kind == "message":
        _add_message(messages, item)
    elif kind == "reasoning":
        _add_reasoning(messages, item)
    elif kind == "function_call":
        message = _answering(messages, lambda _: True)
        function = {"name": called_name(item), "arguments": item.text("arguments")}
        call = {"id": item.text("call_id"), "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        answer = {"role": "tool", "tool_call_id": item.text("call_id")}
        messages.append({**answer, "content": _content(item, "output")})
    elif kind == "item_reference":
        item.refuse("type", f"item_reference: {_NOT_KEPT}")
    else:
        item.refuse("type", f"{kind!r} cannot be mapped onto a chat")


def _add_message(messages: list[dict[str, Any]], item: AskedFields) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        item.refuse("role", "must be user, assistant, system or developer")
    content = _content(item, "content")
    if role == "assistant":
        # One answer is told in several items: what it thought, what it said, what it called.
        _answering(messages, _is_empty)["content"] = content
    else:
        messages.append({"role": _ROLES[role], "content": content})


def _add_reasoning(messages: list[dict[str, Any]], item: AskedFields) -> None:
    if item.get("encrypted_content") is not None:
        item.refuse("encrypted_content", "only the server that wrote it can read it")
    thought = "".join(part.text("text") for part in item.each("content"))
    if thought:
        _answering(messages, lambda message: _is_empty(message) and "reasoning" not in message)[
            "reasoning"
        ] = thought


def _is_empty(message: Mapping[str, Any]) -> bool:
    return message["content"] is None and "tool_calls" not in message


def _answering(messages: list[dict[str, Any]], fits: Any) -> dict[str, Any]:
    """Return the assistant's message that is being put together, or a new one."""
    if not messages or messages[-1]["role"] != "assistant" or not fits(messages[-1]):
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _content(item: AskedFields, name: str) -> Any:
    """Return a content as a chat has it: a string where it is one text."""
    if isinstance(item.get(name), str):
        return item.text(name)
    parts = [_part(part) for part in item.each(name)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts if parts else ""


def _part(part: AskedFields) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text", "refusal"):
        return {"type": "text", "text": part.text("refusal" if kind == "refusal" else "text")}
    if kind == "input_image":
        if part.get("file_id") is not None:
            part.refuse("file_id", "no files are kept here; send image_url")
        image = {"url": part.text("image_url"), **part.copied(("detail",))}
        return {"type": "image_url", "image_url": image}
    part.refuse("type", f"{kind!r} cannot be mapped onto a chat")
