"""ResponsesAnswer: a chat answer as the response object of OpenAI's Responses API."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...streams.events.usage import Usage
from .chat_blocks import Block
from .reply import Reply, read_chat_answer
from .responses_tools import told_name

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
CUT_BY = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Ends of an answer that is not whole, and what this API calls them."""


def responses_answer(chat: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """Return the response object of a whole chat answer. Raises ValueError where it holds none."""
    answer = read_chat_answer(chat)
    return ended_response(reply, answer.blocks, answer.finish)


def ended_response(reply: Reply, blocks: Sequence[Block], finish: str) -> dict[str, Any]:
    """Return the response of an answer that has ended, and how: completed or incomplete."""
    status = "incomplete" if finish in CUT_BY else "completed"
    output = [output_item(reply, block, "completed") for block in blocks[:-1]]
    output += [output_item(reply, block, status) for block in blocks[-1:]]
    found = response_object(reply, status, output) | {"usage": usage_object(reply.usage())}
    if finish in CUT_BY:
        found["incomplete_details"] = {"reason": CUT_BY[finish]}
    return found


def response_object(reply: Reply, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a response in a state; `id` is the generation id, and `store` false, as it is."""
    asked = reply.asked
    echoed = {
        name: default if asked.get(name) is None else asked[name]
        for name, default in _ECHOED.items()
    }
    return {
        "id": reply.generation_id,
        "object": "response",
        "created_at": int(reply.created),
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "output": output,
        "background": False,
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **echoed,
    }


def output_item(reply: Reply, block: Block, status: str) -> dict[str, Any]:
    """Return a block as an item of the output."""
    named = {"id": item_id(reply, block), "status": status}
    if block.kind == "reasoning":
        content = [content_part(block, block.text)] if block.texts else []
        return {**named, "type": "reasoning", "summary": [], "content": content}
    if block.kind == "text":
        content = [content_part(block, block.text)] if block.texts else []
        return {**named, "type": "message", "role": "assistant", "content": content}
    named |= told_name(block.name, reply.asked)
    called = {"call_id": block.call_id, "arguments": block.text}
    return {**named, "type": "function_call", **called}


def item_id(reply: Reply, block: Block) -> str:
    """Return the id of an item: its answer's, its kind's, and its place."""
    kind = {"reasoning": "rs", "text": "msg", "call": "fc"}[block.kind]
    return f"{kind}_{reply.generation_id}_{block.number}"


def content_part(block: Block, text: str) -> dict[str, Any]:
    """Return a text as the part of an item."""
    if block.kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the usage; tokens of reasoning are among the output's, where the engine tells them."""
    read, written = usage.prompt_tokens, usage.completion_tokens
    cached = {"cached_tokens": usage.cached_prompt_tokens or 0, "cache_write_tokens": 0}
    return {
        "input_tokens": read,
        "input_tokens_details": cached,
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": read + written,
    }
