"""What holds at every door alike: chat, Responses and Messages, asked by their own SDKs."""

from typing import Any

import httpx
import pytest
from door_talks import ADD, ANTHROPICS, anthropic_client, openai_client
from gateway_rig import GatewayRig

DOORS = pytest.mark.parametrize("door", ["chat", "responses", "messages"])
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
TOOLS: dict[str, Any] = {
    "chat": {"type": "function", "function": ADD},
    "responses": {"type": "function", **ADD},
    "messages": ANTHROPICS,
}


def body(door: str, said: str, **more: Any) -> dict[str, Any]:
    """Return a request with a tool."""
    messages = [{"role": "user", "content": said}]
    asked = {"model": "rlwd", "max_tokens": 12, "messages": messages}
    if door == "responses":
        asked = {"model": "rlwd", "input": messages}
    return {**asked, "tools": [TOOLS[door]], **more}


def text_by_sdk(door: str, client: httpx.Client, asked: dict[str, Any], stream: bool) -> str:
    """Ask by the door's SDK; return the text that a product reads."""
    told: Any
    if door == "messages":
        api = anthropic_client(client).messages
        if stream:
            with api.stream(**asked) as streaming:
                return streaming.get_final_text()
        return api.create(**asked).content[0].text  # type: ignore[no-any-return]
    if door == "responses":
        create = openai_client(client).responses.create
        told = list(create(**asked, stream=True))[-1].response if stream else create(**asked)
        return str(told.output_text)
    chat = openai_client(client).chat.completions.create
    if stream:
        return "".join(one.choices[0].delta.content or "" for one in chat(**asked, stream=True))
    return str(chat(**asked).choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
@DOORS
def test_a_character_that_is_cut_in_two_comes_whole(
    door: str, stream: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """An engine tells the halves of an emoji in two pieces: who joins them reads it, and the record has it."""
    gateway.engine.TEXTS = ("a", "\ud83d", "\ude00", "é")
    asked = body(door, "hi")
    del asked["tools"]
    read = text_by_sdk(door, client, asked, stream)
    assert read.encode("utf-16", "surrogatepass").decode("utf-16") == "a😀é"
    assert [one.text for one in gateway.sink.generations(1)] == ["a😀é"]


@DOORS
def test_who_leaves_in_the_middle_of_a_call_stops_the_engine(
    door: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """The record has as much of the call as came, and that nobody saw its end."""
    gateway.engine.pause = 0.2
    asked = body(door, "hi", stream=True)
    with client.stream("POST", PATHS[door], json=asked) as response:
        next(line for line in response.iter_lines() if '{\\"a\\"' in line)
    (told,) = gateway.sink.generations(1)
    assert told.finish_reason == "abort"
    (call,) = told.tool_calls
    assert (call.name, call.parses) == ("add", False)
    assert gateway.engine.arguments.startswith(call.arguments)
    assert gateway.engine.left.wait(10)


@DOORS
def test_a_call_that_was_cut_by_length_says_so(
    door: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Half a call is told as written, as unfinished, and goes back as its client has it."""
    gateway.engine.arguments, gateway.engine.finish = '{"a": ', "length"
    told = client.post(PATHS[door], json=body(door, "hi")).json()
    if door == "messages":
        assert told["stop_reason"] == "max_tokens"
        assert told["content"][0]["input"] == {"INVALID_JSON": '{"a": '}
    elif door == "responses":
        assert (told["status"], told["output"][0]["status"]) == ("incomplete", "incomplete")
        assert told["output"][0]["arguments"] == '{"a": '
    else:
        assert told["choices"][0]["finish_reason"] == "length"
    (event,) = gateway.sink.generations(1)
    assert [(call.arguments, call.parses) for call in event.tool_calls] == [('{"a": ', False)]


@DOORS
def test_a_result_in_parts_is_read_as_one(
    door: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Tools may answer in several texts; the record joins them, and it is the result of its call."""
    use = {"type": "tool_use", "id": "call-1", "name": "add", "input": {"a": 1}}
    function = {"name": "add", "arguments": '{"a":1}'}
    if door == "messages":
        parts = [{"type": "text", "text": text} for text in ("3", "4")]
        result = {"type": "tool_result", "tool_use_id": "call-1", "content": parts}
        said = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    elif door == "responses":
        parts = [{"type": "input_text", "text": text} for text in ("3", "4")]
        called: dict[str, Any] = {"type": "function_call", "call_id": "call-1", **function}
        said = [called, {"type": "function_call_output", "call_id": "call-1", "output": parts}]
    else:
        parts = [{"type": "text", "text": text} for text in ("3", "4")]
        calls = [{"id": "call-1", "type": "function", "function": function}]
        said = [{"role": "assistant", "tool_calls": calls}]
        said.append({"role": "tool", "tool_call_id": "call-1", "content": parts})
    asked = body(door, "hi")
    asked["input" if door == "responses" else "messages"] += said
    assert client.post(PATHS[door], json=asked).status_code == 200
    sent = gateway.engine.asked[0]["messages"][-1]
    assert sent["content"] == [{"type": "text", "text": text} for text in ("3", "4")]
    (event,) = gateway.sink.generations(1)
    assert [(one.tool_call_id, one.text) for one in event.input] == [("call-1", "3\n4")]
