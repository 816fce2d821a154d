"""The door of Anthropic's Messages: the same record as through chat, and events that its SDK reads."""

import hashlib
import json
from typing import Any

import anthropic
import httpx
import pytest
from door_talks import (
    ADD,
    ANTHROPICS,
    BROKEN,
    STRANGE,
    anthropic_client,
    as_read,
    by_chat,
    by_messages,
    misbehave,
    recorded,
)
from fake_engine import Misbehaviour
from gateway_rig import GatewayRig

from rlwd.daemon.callers.settings import ClientSettings

HI = [{"role": "user", "content": "hi"}]
HELLO = {"max_tokens": 12, "messages": HI}
THINKS = {"type": "enabled", "budget_tokens": 1024}


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/messages", json={**HELLO, **body})


def events(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """Return the events of a stream; each bears its type as its name."""
    asked = {**HELLO, **body, "stream": True}
    with client.stream("POST", "/v1/messages", json=asked) as response:
        assert response.status_code == 200, response.read()
        blocks = "\n".join(response.iter_lines()).strip().split("\n\n")
    found = list[dict[str, Any]]()
    for block in blocks:
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_is_recorded_as_through_the_chat_door(
    stream: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Session, input, tools, calls, text, reasoning, tokens and sampling of each turn are the same."""
    gateway.engine.reasoning, gateway.engine.calls = "so it is", 2
    # As an object is written again: the log keeps what the model wrote.
    gateway.engine.arguments = '{"a":1,"b":2}'
    ids = by_chat(client) + by_messages(client, stream=stream)
    told = gateway.sink.generations(6)
    assert [one.generation_id for one in told] == ids
    assert told[0].tool_calls
    assert [recorded(one) for one in told[3:]] == [recorded(one) for one in told[:3]]
    sent = [as_read(asked["messages"]) for asked in gateway.engine.asked]
    assert sent[3:] == sent[:3]


def test_a_stream_tells_thinking_text_and_tools_block_by_block(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Blocks start, go on and stop, one after another, though the engine tells two calls in turns."""
    gateway.engine.reasoning, gateway.engine.calls, gateway.engine.cached = "so it is", 2, 2
    told = events(client, tools=[ANTHROPICS], thinking=THINKS)
    assert [one["type"] for one in told[:2]] == ["message_start", "ping"]
    assert told[0]["message"]["usage"]["input_tokens"] == 3
    assert [one["type"] for one in told[-2:]] == ["message_delta", "message_stop"]
    places = [(one["type"], one["index"]) for one in told if "index" in one]
    assert [place for place in places if place[0] != "content_block_delta"] == [
        (f"content_block_{what}", n) for n in range(3) for what in ("start", "stop")
    ]
    assert places == sorted(places, key=lambda place: place[1])
    assert told[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2}
    assert told[-2]["usage"] == {**usage, "output_tokens": 4}
    whole = ask(client, tools=[ANTHROPICS], thinking=THINKS).json()
    with anthropic_client(client).messages.stream(
        model="rlwd",
        tools=[ANTHROPICS],  # type: ignore[list-item]
        thinking=THINKS,  # type: ignore[arg-type]
        **HELLO,  # type: ignore[arg-type]
    ) as streaming:
        final = streaming.get_final_message()
    assert [one.to_dict() for one in final.content] == whole["content"]
    assert whole["content"] == [
        {"type": "thinking", "thinking": "so it is", "signature": ""},
        {"type": "tool_use", "id": "call-1", "name": "add", "input": {"a": 1, "b": 2}},
        {"type": "tool_use", "id": "call-2", "name": "add", "input": {"a": 1, "b": 2}},
    ]


def test_thinking_is_told_only_where_it_is_asked_for(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Without it the first block is the text; the record has the reasoning either way."""
    gateway.engine.reasoning = "so it is"
    answer = ask(client)
    assert answer.json()["content"] == [{"type": "text", "text": "Good day!"}]
    ids = (answer.json()["id"], answer.headers["x-rlwd-generation"], answer.headers["request-id"])
    assert set(ids) == {ids[0]}
    told = [one["delta"]["text"] for one in events(client) if one["type"] == "content_block_delta"]
    assert told == list(gateway.engine.TEXTS)
    assert [one.reasoning for one in gateway.sink.generations(2)] == ["so it is"] * 2


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
def test_why_it_ended_is_told_in_its_words(
    finish: str, reason: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Streamed and whole, the stop reason is that API's."""
    gateway.engine.finish = finish
    assert ask(client).json()["stop_reason"] == reason
    assert events(client)[-2]["delta"]["stop_reason"] == reason


def test_arguments_that_do_not_parse_are_told_as_written(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A whole answer holds them under a name of their own; a stream as the model wrote them."""
    gateway.engine.arguments = '{"a": '
    (block,) = ask(client, tools=[ANTHROPICS]).json()["content"]
    assert block["input"] == {"INVALID_JSON": '{"a": '}
    deltas = [one["delta"] for one in events(client, tools=[ANTHROPICS]) if "delta" in one]
    assert "".join(one.get("partial_json", "") for one in deltas) == '{"a": '


USE = {"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}}
DOCUMENT = {"type": "document", "source": {"type": "text", "data": "x"}}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [DOCUMENT]}]}, "messages[0].content[0].type"),
        ({"messages": [*HI, {"role": "assistant", "content": [USE]}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "messages"),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"thinking": {"type": "much"}}, "thinking.type"),
        ({"output_config": {"effort": "most"}}, "output_config.effort"),
        ({"container": "c"}, "container"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_mapped_is_refused_by_its_path(
    body: dict[str, Any], path: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """A 400 of that API's shape names the field, and the engine is asked nothing."""
    answer = ask(client, **body)
    assert answer.status_code == 400
    told = answer.json()
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    assert told["error"]["message"].startswith(f"{path}: ")
    assert gateway.engine.asked == []


def test_fields_reach_the_engine_under_chats_names(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Failed tools, images, prefill, choice, effort, formats; what is of no use is told."""
    image = {"type": "base64", "media_type": "image/png", "data": "AA"}
    result = {"type": "tool_result", "tool_use_id": "c", "content": "no", "is_error": True}
    see = [{"type": "text", "text": "see"}, {"type": "image", "source": image}]
    answer = ask(
        client,
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [USE]},
            {"role": "user", "content": [result, *see]},
            {"role": "assistant", "content": "So"},
        ],
        stop_sequences=["!"],
        tools=[{**ANTHROPICS, "cache_control": {"type": "ephemeral"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking=THINKS,
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {}}},
        service_tier="auto",
        top_k=5,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-rlwd-ignored"] == "service_tier, thinking.budget_tokens"
    asked = gateway.engine.asked[0]
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    url = {"url": "data:image/png;base64,AA"}
    assert asked["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "no", "is_error": True},
        {"role": "user", "content": [see[0], {"type": "image_url", "image_url": url}]},
        {"role": "assistant", "content": "So"},
    ]
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
    assert (asked["stop"], asked["tool_choice"], asked["parallel_tool_calls"]) == (
        ["!"],
        "required",
        False,
    )
    assert (asked["reasoning_effort"], asked["top_k"]) == ("high", 5)
    assert asked["response_format"]["json_schema"]["schema"] == {}


@pytest.mark.parametrize("nothing", ["", []])
def test_an_answer_of_nothing_is_not_continued(
    nothing: Any, client: httpx.Client, gateway: GatewayRig
) -> None:
    """The API lets the last message be the assistant's and empty: the answer begins anew."""
    ask(client, messages=[*HI, {"role": "assistant", "content": nothing}])
    assert gateway.engine.asked[0]["messages"] == HI
    assert "continue_final_message" not in gateway.engine.asked[0]


def test_a_session_in_the_users_id_is_a_session(client: httpx.Client, gateway: GatewayRig) -> None:
    """Two sessions of Claude Code's are one person."""
    for session in ("s1", "s2", "s1"):
        user_id = f"user_1f_account_2e_session_{session}"
        assert ask(client, metadata={"user_id": user_id}).status_code == 200
    told = gateway.sink.generations(3)
    assert len({one.user_hash for one in told}) == 1
    assert told[0].session_id == told[2].session_id != told[1].session_id
    assert {one.session_found for one in told} == {"cache_key"}


@STRANGE
def test_a_strange_engine_is_read_all_the_same(
    wrong: dict[str, Any], client: httpx.Client, gateway: GatewayRig
) -> None:
    """However the engine writes its events, the SDK reads the whole answer."""
    misbehave(gateway.engine, wrong)
    with anthropic_client(client).messages.stream(model="rlwd", **HELLO) as streaming:  # type: ignore[arg-type]
        assert streaming.get_final_text() == "Good day!"
    assert gateway.sink.generations(1)[0].finish_reason == "stop"


@BROKEN
def test_an_answer_that_broke_off_is_an_error(
    wrong: dict[str, Any], client: httpx.Client, gateway: GatewayRig
) -> None:
    """The SDK raises, and the error names no place of ours."""
    misbehave(gateway.engine, wrong)
    with (
        pytest.raises(anthropic.APIStatusError) as raised,
        anthropic_client(client).messages.stream(model="rlwd", **HELLO) as streaming,  # type: ignore[arg-type]
    ):
        streaming.get_final_message()
    assert gateway.engine.url not in str(raised.value.body)
    assert raised.value.body["type"] == "error"  # type: ignore[index]
    assert gateway.sink.generations(1)[0].finish_reason == "error"


def test_refusals_have_anthropics_shape(client: httpx.Client, gateway: GatewayRig) -> None:
    """An unknown model, an engine's failure, a damaged body and an unknown path."""
    api = anthropic_client(client)
    with pytest.raises(anthropic.NotFoundError):
        api.messages.create(model="other", **HELLO)  # type: ignore[call-overload]
    gateway.engine.wrong = Misbehaviour(status=500)
    with pytest.raises(anthropic.InternalServerError) as raised:
        api.messages.create(model="rlwd", **HELLO)  # type: ignore[call-overload]
    assert raised.value.response.json()["error"]["type"] == "api_error"
    assert raised.value.request_id == gateway.sink.generations(1)[0].generation_id
    assert client.post("/v1/messages", content=b"{").json()["type"] == "error"
    assert client.post("/v1/messages/other").json()["error"]["type"] == "not_found_error"


def test_tokens_are_counted_by_the_engine(client: httpx.Client, gateway: GatewayRig) -> None:
    """System prompt, messages and tools are counted as they would be read; nothing is recorded."""
    said: list[Any] = [{"role": "user", "content": "hi"}]
    asked: dict[str, Any] = {"model": "rlwd", "system": "be brief", "tools": [ANTHROPICS]}
    counted = anthropic_client(client).messages.count_tokens(messages=said, **asked)
    assert counted.input_tokens == 3
    assert gateway.engine.asked == [
        {
            "model": gateway.set_flags().champion.version,
            "messages": [{"role": "system", "content": "be brief"}, *said],
            "tools": [{"type": "function", "function": ADD}],
        }
    ]
    ask(client)
    assert len(gateway.sink.wait(1)) == 1


@pytest.mark.parametrize(
    ("wrong", "body", "error", "said"),
    [
        ({}, {"messages": []}, anthropic.BadRequestError, "messages: must be"),
        ({}, {"model": "other"}, anthropic.NotFoundError, "`other` does not exist"),
        ({"status": 400}, {}, anthropic.BadRequestError, "the model failed at"),
        ({"status": 500}, {}, anthropic.InternalServerError, "cannot count tokens"),
        ({"raw_body": b"[]"}, {}, anthropic.InternalServerError, "cannot count tokens"),
        (None, {}, anthropic.NotFoundError, "this engine has no /tokenize"),
    ],
    ids=["no-messages", "model", "refused", "failed", "damaged", "not-there"],
)
def test_what_cannot_be_counted_is_refused(
    wrong: dict[str, Any] | None,
    body: dict[str, Any],
    error: type[anthropic.APIStatusError],
    said: str,
    client: httpx.Client,
    gateway: GatewayRig,
) -> None:
    """In that API's shape, whether the request, the engine or its lack of a door is at fault."""
    gateway.engine.wrong = Misbehaviour(**wrong or {})
    if wrong is None:
        gateway.engine.known = set()
    asked: dict[str, Any] = {"model": "rlwd", "messages": HELLO["messages"], **body}
    with pytest.raises(error, match=said) as raised:
        anthropic_client(client).messages.count_tokens(**asked)
    assert raised.value.body["type"] == "error"  # type: ignore[index]


def test_a_key_is_as_good_as_a_token(gateway: GatewayRig) -> None:
    """Anthropic's SDK sends `x-api-key`: the client's tenant follows from it, and a wrong one is refused."""
    gateway.set_flags()
    token = "t" * 40
    digest = f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    client = gateway.open(clients={"support": ClientSettings(tokens=(digest,), tenant="acme")})
    anthropic_client(client, token).messages.create(model="rlwd", **HELLO)  # type: ignore[call-overload]
    assert gateway.sink.generations(1)[0].tenant == "acme"
    with pytest.raises(anthropic.AuthenticationError) as raised:
        anthropic_client(client, "wrong").messages.create(model="rlwd", **HELLO)  # type: ignore[call-overload]
    assert raised.value.response.json()["error"]["type"] == "authentication_error"
