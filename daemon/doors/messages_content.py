"""MessagesContent: the messages of Anthropic's API, block by block, as messages of a chat."""

from typing import Any

import orjson

from .asked_fields import AskedFields


def chat_messages(asked: AskedFields) -> list[dict[str, Any]]:
    """Return a request's system prompt and messages. Raises ValueError with the path of what is no
    text, image, thinking, tool use or its result.
    """
    messages = list[dict[str, Any]]()
    if asked.get("system") is not None:
        messages.append({"role": "system", "content": _content(asked, "system")})
    if not asked.get("messages"):
        asked.refuse("messages", "must be a list of messages")
    for message in asked.each("messages"):
        role = message.get("role")
        if role == "assistant":
            messages.append(_answer(message))
        elif role == "user":
            messages += _turn(message)
        elif role == "system":
            messages.append({"role": "system", "content": _content(message, "content")})
        else:
            message.refuse("role", "must be user, assistant or system")
    return messages


def _turn(message: AskedFields) -> list[dict[str, Any]]:
    """Return what a person and the tools said, in the order in which it stands."""
    if isinstance(message.get("content"), str):
        return [{"role": "user", "content": message.get("content")}]
    found, parts = list[dict[str, Any]](), list[dict[str, Any]]()
    for block in message.each("content"):
        if block.get("type") == "tool_result":
            found += _said_by_person(parts)
            parts = []
            found.append(_result(block))
        else:
            parts.append(_part(block))
    return found + _said_by_person(parts) or [{"role": "user", "content": ""}]


def _said_by_person(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": _joined(parts)}] if parts else []


def _result(block: AskedFields) -> dict[str, Any]:
    told = {"role": "tool", "tool_call_id": block.text("tool_use_id")}
    return {**told, "content": _content(block, "content"), **block.copied(("is_error",))}


def _answer(message: AskedFields) -> dict[str, Any]:
    if isinstance(message.get("content"), str):
        return {"role": "assistant", "content": message.get("content")}
    told: dict[str, Any] = {"role": "assistant", "content": None}
    texts, thoughts, calls = list[dict[str, Any]](), list[str](), list[dict[str, Any]]()
    for block in message.each("content"):
        kind = block.get("type")
        if kind == "thinking":
            thoughts.append(block.text("thinking"))
        elif kind == "tool_use":
            calls.append(_call(block))
        elif kind == "redacted_thinking":
            block.refuse("type", "redacted_thinking: only the server that wrote it can read it")
        else:
            texts.append(_part(block))
    if texts:
        told["content"] = _joined(texts)
    if any(thoughts):
        told["reasoning"] = "".join(thoughts)
    if calls:
        told["tool_calls"] = calls
    return told


def _call(block: AskedFields) -> dict[str, Any]:
    arguments = orjson.dumps(dict(block.fields("input").told)).decode()
    function = {"name": block.text("name"), "arguments": arguments}
    return {"id": block.text("id"), "type": "function", "function": function}


def _content(asked: AskedFields, name: str) -> Any:
    """Return a content as a chat has it: a string where it is one text."""
    if isinstance(asked.get(name), str):
        return asked.get(name)
    return _joined([_part(block) for block in asked.each(name)])


def _joined(parts: list[dict[str, Any]]) -> Any:
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts if parts else ""


def _part(block: AskedFields) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": block.text("text")}
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _image(block.fields("source"))}}
    block.refuse("type", f"{kind!r} cannot be mapped onto a chat")


def _image(source: AskedFields) -> str:
    kind = source.get("type")
    if kind == "url":
        return source.text("url")
    if kind == "base64":
        return f"data:{source.text('media_type')};base64,{source.text('data')}"
    source.refuse("type", f"{kind!r}: no files are kept here")
