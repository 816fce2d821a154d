"""DoorTalks: one conversation with a tool, held through each door by its own SDK."""

from typing import Any

import httpx
from openai import OpenAI

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ADD = {"name": "add", "description": "adds", "parameters": SCHEMA}
PERSON = {"user": "ann"}


def openai_client(client: httpx.Client) -> OpenAI:
    url = str(client.base_url).rstrip("/")
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def by_chat(client: httpx.Client) -> list[str]:
    """A person asks, a tool is called and answers, the person says thanks; return the three ids."""
    ids = list[str]()
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello there"},
    ]
    asked = {"tools": [{"type": "function", "function": ADD}], "temperature": 0.8} | PERSON
    for _ in range(3):
        body = {"messages": said, "max_completion_tokens": 12, **asked}
        told = client.post("/v1/chat/completions", json=body).raise_for_status().json()
        ids.append(told["id"])
        message = told["choices"][0]["message"]
        said.append({k: message[k] for k in ("role", "content", "tool_calls") if k in message})
        said += [
            {"role": "tool", "tool_call_id": call["id"], "content": "3"}
            for call in message.get("tool_calls") or ()
        ] or [{"role": "user", "content": "thanks"}]
    return ids


def by_responses(client: httpx.Client, *, stream: bool) -> list[str]:
    """The same, through OpenAI's Responses."""
    api, ids = openai_client(client), list[str]()
    said: list[Any] = [{"role": "user", "content": "hello there"}]
    for _ in range(3):
        asked: dict[str, Any] = {
            "model": "rlwd",
            "instructions": "be brief",
            "input": said,
            "tools": [{"type": "function", "strict": False, **ADD}],
            "temperature": 0.8,
            "max_output_tokens": 12,
            **PERSON,
        }
        if stream:
            told = [event for event in api.responses.create(**asked, stream=True)][-1].response
        else:
            told = api.responses.create(**asked)
        ids.append(told.id)
        said += [item.to_dict() for item in told.output]
        said += [
            {"type": "function_call_output", "call_id": item.call_id, "output": "3"}
            for item in told.output
            if item.type == "function_call"
        ] or [{"role": "user", "content": "thanks"}]
    return ids
