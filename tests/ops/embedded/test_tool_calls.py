"""Calls of tools that the embedded engine reads out of an answer, as vLLM's parser `hermes` does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from taught_tools import OFFERED

from rlwd.learner.tiny.hermes import HERMES_TEMPLATE
from rlwd.learner.tiny.lesson import Lesson
from rlwd.learner.tiny.model import make_tiny_policy, prompt_ids
from rlwd.ops.embedded.openai_api import RequestRefused
from rlwd.ops.embedded.tool_calls import message_of, offered_tools
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import NO_TLS

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
BROKEN = '<tool_call>\n{"name": "add", "arguments": {a}}\n</tool_call>'
SAID = {"call": CALL, "break": BROKEN}
"""What a person says, to what the policy answers."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learnt two answers, each one token and its end."""
    folder = tmp_path_factory.mktemp("calls") / "policy"
    lessons = [
        Lesson(messages=[{"role": "user", "content": said}], answer=answer, tools=OFFERED)
        for said, answer in SAID.items()
    ]
    make_tiny_policy(
        folder,
        seed=0,
        steps=40,
        examples=lessons,
        examples_per_step=8,
        chat_template=HERMES_TEMPLATE,
        words=(CALL, BROKEN),
    )
    return folder


@pytest.fixture(scope="module")
def server(taught: Path) -> Iterator[EmbeddedServer]:
    """An engine on it."""
    with EmbeddedServer(taught, taught.parent) as running:
        yield running


def ask(server: EmbeddedServer, said: str, **more: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": said}], "tools": OFFERED, "temperature": 0}
    asked = {**body, "return_token_ids": True, "max_tokens": 8, **more}
    return httpx.post(f"{server.url}/v1/chat/completions", json=asked, timeout=60.0, verify=NO_TLS)


def test_a_call_comes_back_as_one(server: EmbeddedServer, taught: Path) -> None:
    """The template is told the tools; the answer's call is in the message, and none of it in its text."""
    answer = ask(server, "call").json()
    (choice,) = answer["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"] == {"name": "add", "arguments": '{"a": 1}'}
    assert choice["message"]["content"] is None
    asked = [{"role": "user", "content": "call"}]
    assert answer["prompt_token_ids"] == prompt_ids(taught, asked, OFFERED)
    assert len(answer["prompt_token_ids"]) > len(prompt_ids(taught, asked))


def test_a_stream_tells_the_call_at_its_end(server: EmbeddedServer) -> None:
    """No piece of it is told as text before."""
    told = ask(server, "call", stream=True).text
    chunks = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert not "".join(one.get("content") or "" for one in deltas)
    (call,) = deltas[-1]["tool_calls"]
    assert (call["index"], call["function"]["arguments"]) == (0, '{"a": 1}')
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("said", "more"), [("break", {}), ("call", {"tool_choice": "none"})])
def test_what_is_no_call_stays_text(
    server: EmbeddedServer, said: str, more: dict[str, Any]
) -> None:
    """A call that is no JSON, and any call where none was asked for."""
    (choice,) = ask(server, said, **more).json()["choices"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] != "tool_calls"
    if not more:
        assert choice["message"]["content"] == BROKEN


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function"}]},
        {"tools": "add"},
        {"tools": OFFERED, "tool_choice": "required"},
        {"tools": OFFERED, "tool_choice": {"type": "function", "function": {"name": "add"}}},
        {"tool_choice": "auto?"},
    ],
)
def test_what_cannot_be_done_is_refused_by_name(body: dict[str, Any]) -> None:
    """Tools that are none, a call that needs a grammar, and a template that would drop the tools."""
    with pytest.raises(RequestRefused) as refused:
        offered_tools(body, HERMES_TEMPLATE)
    assert refused.value.param in ("tools", "tool_choice")
    with pytest.raises(RequestRefused, match="would drop them"):
        offered_tools({"tools": OFFERED}, "{{ messages }}")


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (f"Well.\n{CALL}\n{CALL}", 2),
        ('<tool_call>{"name": "f", "arguments": {}}', 1),
        (f"{CALL}\n{BROKEN}", 0),
        ('<tool_call>{"name": 7, "arguments": {}}</tool_call>', 0),
        ('<tool_call>{"name": "f"}</tool_call>', 0),
        ("<tool_call>" + "[" * 100_000, 0),
    ],
)
def test_one_call_that_cannot_be_read_leaves_all_of_them_in_the_text(text: str, calls: int) -> None:
    """What wrote it is not hidden."""
    said = message_of(text)
    assert len(said.get("tool_calls", ())) == calls
    assert calls or said == {"content": text}
