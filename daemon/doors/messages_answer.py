"""MessagesAnswer: a chat answer as the message of Anthropic's API."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ...streams.events.usage import Usage
from .chat_blocks import Block
from .reply import Reply, read_chat_answer

_REASONS = {"length": "max_tokens", "content_filter": "refusal"}
NOT_PARSED = "INVALID_JSON"
"""Where a tool's input is no JSON object, it stands as it was written under this name, by which
Anthropic's documentation of fine-grained tool streaming has clients return it."""


def messages_answer(chat: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """Return the message of a whole chat answer. Raises ValueError where it holds none."""
    answer = read_chat_answer(chat)
    content = [content_block(block) for block in answer.blocks]
    ended = stop_of(answer.blocks, answer.finish, answer.stop)
    return message_object(reply, content) | ended | {"usage": usage_object(reply.usage())}


def message_object(reply: Reply, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a message that has not ended; `id` is the generation id."""
    return {
        "id": reply.generation_id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_object(reply.usage()),
    }


def stop_of(blocks: Sequence[Block], finish: str, stop: str | None) -> dict[str, str | None]:
    """Return why an answer ended, in this API's words."""
    if finish in _REASONS:
        return {"stop_reason": _REASONS[finish], "stop_sequence": None}
    if any(block.kind == "call" for block in blocks):
        # A call that was forced ends some engines' answers by `stop`.
        return {"stop_reason": "tool_use", "stop_sequence": None}
    return {"stop_reason": "end_turn" if stop is None else "stop_sequence", "stop_sequence": stop}


def content_block(block: Block) -> dict[str, Any]:
    """Return a block of the content, whole."""
    if block.kind == "reasoning":
        # Nothing is signed: what comes back is read as it is.
        return {"type": "thinking", "thinking": block.text, "signature": ""}
    if block.kind == "text":
        return {"type": "text", "text": block.text}
    return {"type": "tool_use", "id": block.call_id, "name": block.name, "input": _input(block)}


def _input(block: Block) -> dict[str, Any]:
    try:
        told = orjson.loads(block.text or "{}")
    except orjson.JSONDecodeError:
        told = None
    return told if isinstance(told, dict) else {NOT_PARSED: block.text}


def usage_object(usage: Usage) -> dict[str, int]:
    """Return the usage; as in that API, tokens that were cached are not among the input's."""
    cached = usage.cached_prompt_tokens or 0
    return {
        "input_tokens": max(0, usage.prompt_tokens - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }
