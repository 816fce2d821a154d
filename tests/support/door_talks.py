"""DoorTalks: one conversation with a tool, held through each door by its own SDK."""

from typing import Any

import anthropic
import httpx
import msgspec
import openai
import pytest
from anthropic import Anthropic, beta_tool
from fake_engine import FakeEngine, Misbehaviour
from openai import OpenAI

from rlwd.ops.servers.process import NO_TLS
from rlwd.streams.events.generation import Generation

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ADD = {"name": "add", "description": "adds", "parameters": SCHEMA}
ANTHROPICS = {"name": "add", "description": "adds", "input_schema": SCHEMA}
PERSON = {"user": "ann"}
STRANGE = pytest.mark.parametrize(
    "wrong",
    [
        {"torn": True, "line_end": b"\r\n", "comments": True, "last_blank_line": False},
        {"linger": 0.3},
        {"done": False},
    ],
    ids=["torn", "lingers", "no-done"],
)
"""Ways of writing events that every door must be able to read."""
BROKEN = pytest.mark.parametrize(
    "wrong", [{"error_at": 2}, {"closes_after": 2}, {"dies_after": 2}], ids=str
)
"""Ways in which an answer breaks off after its first two texts."""


def misbehave(engine: FakeEngine, wrong: dict[str, Any]) -> None:
    """Have an engine do one of these."""
    told = dict(wrong)
    engine.dies_after = told.pop("dies_after", None)
    engine.wrong = Misbehaviour(**told)


def recorded(generation: Generation) -> dict[str, Any]:
    """Return what an event says, but for its own id and the time that it took."""
    left = ("generation_id", "latency_seconds")
    told = msgspec.structs.asdict(generation)
    return {name: value for name, value in told.items() if name not in left}


def as_read(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages as a chat template reads them; what was thought, only some clients send back."""
    told = [{name: one[name] for name in one if name != "reasoning"} for one in messages]
    for one in told:
        if "tool_calls" in one:
            calls = [(call["id"], call["function"]) for call in one["tool_calls"]]
            one["tool_calls"] = calls
    return told


def openai_client(client: httpx.Client) -> OpenAI:
    url, http = str(client.base_url).rstrip("/"), openai.DefaultHttpxClient(verify=NO_TLS)
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60, http_client=http)


def anthropic_client(client: httpx.Client, key: str = "none") -> Anthropic:
    url, http = str(client.base_url).rstrip("/"), anthropic.DefaultHttpxClient(verify=NO_TLS)
    return Anthropic(base_url=url, api_key=key, max_retries=0, timeout=60, http_client=http)


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


def by_messages(client: httpx.Client, *, stream: bool) -> list[str]:
    """The same, through Anthropic's Messages."""
    api, ids = anthropic_client(client), list[str]()
    said: list[Any] = [{"role": "user", "content": "hello there"}]
    for _ in range(3):
        asked: dict[str, Any] = {
            "model": "rlwd",
            "system": "be brief",
            "messages": said,
            "tools": [ANTHROPICS],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "extra_body": {"temperature": 0.8},
            "max_tokens": 12,
            "metadata": {"user_id": PERSON["user"]},
        }
        if stream:
            with api.messages.stream(**asked) as streaming:
                told = streaming.get_final_message()
        else:
            told = api.messages.create(**asked)
        ids.append(told.id)
        said.append({"role": "assistant", "content": [one.to_dict() for one in told.content]})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "3"}
            for block in told.content
            if block.type == "tool_use"
        ]
        said.append({"role": "user", "content": results or "thanks"})
    return ids


@beta_tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def by_tool_runner(client: httpx.Client, *, stream: bool) -> list[str]:
    """The same, with Anthropic's own loop, at its defaults."""
    api, ids = anthropic_client(client), list[str]()
    said: list[Any] = [{"role": "user", "content": "hello there"}]
    for _ in range(2):
        asked: dict[str, Any] = {"model": "rlwd", "max_tokens": 200, "tools": [add]}
        asked["metadata"] = {"user_id": "stream" if stream else "whole"}
        runner: Any = api.beta.messages.tool_runner(messages=said, stream=stream, **asked)
        for told in runner:
            message = told.get_final_message() if stream else told
            ids.append(message.id)
            said.append({"role": "assistant", "content": [b.to_dict() for b in message.content]})
            came_back = runner.generate_tool_call_response()
            said += [came_back] if came_back else []
        said.append({"role": "user", "content": "thanks"})
    return ids
