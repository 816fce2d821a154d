"""The door of OpenAI's Responses: the same record as through chat, and events that its SDK reads."""

from typing import Any

import httpx
import openai
import pytest
from door_talks import (
    ADD,
    BROKEN,
    STRANGE,
    as_read,
    by_chat,
    by_responses,
    misbehave,
    openai_client,
    recorded,
)
from fake_engine import Misbehaviour
from gateway_rig import GatewayRig

TOOL = {"type": "function", **ADD}

GROUP = {"type": "namespace", "name": "math", "description": "sums", "tools": [TOOL]}


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/responses", json={"input": "hi", **body})


def streamed(client: httpx.Client, **body: Any) -> list[Any]:
    asked: dict[str, Any] = {"model": "rlwd", "input": "hi", **body}
    return list(openai_client(client).responses.create(**asked, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_is_recorded_as_through_the_chat_door(
    stream: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Session, input, tools, calls, text, reasoning, tokens and sampling of each turn are the same."""
    gateway.engine.reasoning, gateway.engine.calls = "so it is", 2
    ids = by_chat(client) + by_responses(client, stream=stream)
    told = gateway.sink.generations(6)
    assert [one.generation_id for one in told] == ids
    assert told[0].tool_calls
    assert told[0].input
    assert told[0].session_found == "beginning"
    assert [recorded(one) for one in told[3:]] == [recorded(one) for one in told[:3]]
    sent = [as_read(asked["messages"]) for asked in gateway.engine.asked]
    assert sent[3:] == sent[:3]


def test_a_stream_tells_reasoning_text_and_calls_item_by_item(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Each item is added, goes on and is done, one after another, and the end holds all of them."""
    gateway.engine.reasoning, gateway.engine.calls, gateway.engine.cached = "so it is", 2, 2
    gateway.engine.thought = 1
    events = streamed(client, tools=[TOOL])
    assert [one.sequence_number for one in events] == list(range(len(events)))
    assert [one.type for one in events[:2]] == ["response.created", "response.in_progress"]
    done = [one.item for one in events if one.type == "response.output_item.done"]
    added = [one.output_index for one in events if one.type == "response.output_item.added"]
    assert added == [0, 1, 2]
    final = events[-1].response
    assert events[-1].type == "response.completed"
    assert final.output == done
    assert [one.type for one in done] == ["reasoning", "function_call", "function_call"]
    assert done[0].content[0].text == "so it is"
    for place in (1, 2):
        pieces = [
            one.delta
            for one in events
            if one.type == "response.function_call_arguments.delta" and one.output_index == place
        ]
        assert "".join(pieces) == done[place].arguments == gateway.engine.arguments
    assert (final.usage.input_tokens, final.usage.output_tokens) == (3, 4)
    assert final.usage.input_tokens_details.cached_tokens == 2
    assert final.usage.output_tokens_details.reasoning_tokens == 1
    assert gateway.sink.generations(1)[0].usage.reasoning_tokens == 1
    whole = openai_client(client).responses.create(model="rlwd", input="hi", tools=[TOOL])  # type: ignore[list-item]
    assert [one.to_dict() | {"id": ""} for one in whole.output] == [
        one.to_dict() | {"id": ""} for one in done
    ]
    assert final.id == gateway.sink.generations(1)[0].generation_id


def test_text_streams_as_it_comes(client: httpx.Client, gateway: GatewayRig) -> None:
    """Text has its part and its deltas, and the ids of headers and bodies are the generation's."""
    events = streamed(client)
    deltas = [one.delta for one in events if one.type == "response.output_text.delta"]
    assert deltas == list(gateway.engine.TEXTS)
    assert events[-1].response.output_text == "Good day!"
    answer = ask(client)
    assert answer.json()["id"] == answer.headers["x-rlwd-generation"]
    assert answer.json()["store"] is False


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [("stop", "completed", None), ("length", "incomplete", "max_output_tokens")],
)
def test_an_answer_that_was_cut_is_incomplete(
    finish: str, status: str, reason: str | None, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Streamed and whole, the response says by what it was cut."""
    gateway.engine.finish = finish
    for told in (streamed(client)[-1].response.to_dict(), ask(client).json()):
        assert told["status"] == told["output"][0]["status"] == status
        assert (told.get("incomplete_details") or {}).get("reason") == reason


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"tools": [TOOL, {"type": "file_search"}]}, "tools[1].type"),
        ({"tools": [GROUP, {**TOOL, "name": "math__add"}]}, "tools[1].name"),
        ({"tools": [{**GROUP, "tools": [TOOL, {"type": "custom"}]}]}, "tools[0].tools[1].type"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"tools": "all"}, "tools"),
        ({"input": None}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0].type"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        (
            {"input": [{"type": "reasoning", "encrypted_content": "x"}]},
            "input[0].encrypted_content",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].type",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"a_new_field": 1}, "a_new_field"),
        ({"n": 2}, "n"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_mapped_is_refused_by_its_path(
    body: dict[str, Any], path: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """A 400 names the field, and the engine is asked nothing."""
    answer = ask(client, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{path}: ")
    assert gateway.engine.asked == []


def test_fields_reach_the_engine_under_chats_names(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Formats, tool choice, effort, images and the engine's own fields; what is of no use is told."""
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
    answer = ask(
        client,
        input=[
            {"role": "developer", "content": "rule"},
            {"role": "user", "content": [{"type": "input_text", "text": "see"}, image]},
        ],
        text={"format": {"type": "json_schema", "name": "s", "schema": {}}, "verbosity": "low"},
        tools=[{**TOOL, "strict": True}],
        tool_choice={"type": "function", "name": "add"},
        reasoning={"effort": "low", "summary": "auto"},
        store=True,
        service_tier="auto",
        top_k=5,
    )
    assert answer.status_code == 200
    assert answer.headers["x-rlwd-ignored"] == "service_tier, text.verbosity, reasoning.summary"
    asked = gateway.engine.asked[0]
    assert asked["messages"] == [
        {"role": "system", "content": "rule"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": image["image_url"], "detail": "low"}},
            ],
        },
    ]
    assert asked["response_format"]["json_schema"] == {"name": "s", "schema": {}}
    assert asked["tools"] == [{"type": "function", "function": {**ADD, "strict": True}}]
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert (asked["reasoning_effort"], asked["top_k"]) == ("low", 5)
    assert not asked.keys() & {"input", "store", "text", "reasoning"}


@pytest.mark.parametrize("stream", [False, True])
def test_functions_in_namespaces_are_called_by_both_names(
    stream: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """The engine is offered, and told again, one name; the client reads and sends namespace and name.
    A search of the web, which nobody here can do, is left out and named."""
    gateway.engine.tool = "math__add"
    tools = [GROUP, {**TOOL, "name": "other"}, {"type": "web_search"}]
    said: list[Any] = [{"role": "user", "content": "hi"}]
    asked: dict[str, Any] = {"model": "rlwd", "tools": tools}
    create = openai_client(client).responses.create
    if stream:
        events = list(create(**asked, input=said, stream=True))
        done = next(one for one in events if one.type.endswith("arguments.done"))
        assert done.name == "add"
        (item,) = events[-1].response.output
    else:
        (item,) = create(**asked, input=said).output
    assert (item.name, item.namespace) == ("add", "math")
    came_back = {"type": "function_call_output", "call_id": item.call_id, "output": "3"}
    said += [item.to_dict(), came_back]
    create(**asked, input=said)
    forced = {"type": "function", "name": "add", "namespace": "math"}
    answer = ask(client, tools=tools, tool_choice=forced)
    assert answer.headers["x-rlwd-ignored"] == "tools[2].type"
    first, second, third = gateway.engine.asked
    assert [one["function"]["name"] for one in first["tools"]] == ["math__add", "other"]
    assert second["messages"][1]["tool_calls"][0]["function"]["name"] == "math__add"
    assert third["tool_choice"]["function"] == {"name": "math__add"}
    assert [one.name for one in gateway.sink.generations(1)[0].tool_calls] == ["math__add"]


def test_a_choice_among_no_tools_is_none(client: httpx.Client, gateway: GatewayRig) -> None:
    """What this API takes and a chat refuses is left out, and such an answer may be learned from."""
    for choice in ("auto", "none"):
        answer = ask(client, tools=[], tool_choice=choice, parallel_tool_calls=False)
        assert answer.status_code == 200
    ask(client, tool_choice="required")
    assert [one.get("tool_choice") for one in gateway.engine.asked] == [None, None, "required"]
    told = [one.sampling.constrained for one in gateway.sink.generations(3)]
    assert told == [False, False, True]


@STRANGE
def test_a_strange_engine_is_read_all_the_same(
    wrong: dict[str, Any], client: httpx.Client, gateway: GatewayRig
) -> None:
    """However the engine writes its events, the SDK reads the whole answer."""
    misbehave(gateway.engine, wrong)
    events = streamed(client)
    assert (events[-1].type, events[-1].response.output_text) == ("response.completed", "Good day!")
    assert gateway.sink.generations(1)[0].finish_reason == "stop"


@BROKEN
def test_an_answer_that_broke_off_fails(
    wrong: dict[str, Any], client: httpx.Client, gateway: GatewayRig
) -> None:
    """The last event is `response.failed`, with what had come, and names no place of ours."""
    misbehave(gateway.engine, wrong)
    last = streamed(client)[-1]
    assert last.type == "response.failed"
    assert last.response.output[0].content[0].text == "Good "
    assert gateway.engine.url not in last.response.error.message
    assert gateway.sink.generations(1)[0].finish_reason == "error"


def test_tokens_are_counted_by_the_engine(client: httpx.Client, gateway: GatewayRig) -> None:
    """Instructions, input and functions are counted as they would be read."""
    count = openai_client(client).responses.input_tokens.count
    told = count(model="rlwd", input="hi", instructions="be brief", tools=[TOOL])  # type: ignore[list-item]
    assert (told.input_tokens, told.object) == (3, "response.input_tokens")
    assert gateway.engine.asked[0]["tools"] == [{"type": "function", "function": ADD}]
    with pytest.raises(openai.BadRequestError, match="previous_response_id: "):
        count(model="rlwd", input="hi", previous_response_id="r")


def test_refusals_have_openais_shape(client: httpx.Client, gateway: GatewayRig) -> None:
    """An unknown model and an engine's failure raise the SDK's own errors."""
    api = openai_client(client)
    with pytest.raises(openai.NotFoundError):
        api.responses.create(model="other", input="hi")
    gateway.engine.wrong = Misbehaviour(status=500)
    with pytest.raises(openai.InternalServerError):
        api.responses.create(model="rlwd", input="hi")
    gateway.engine.wrong = Misbehaviour(raw_body=b'{"choices": []}')
    with pytest.raises(openai.InternalServerError):
        api.responses.create(model="rlwd", input="hi")


def test_a_client_that_leaves_is_an_abort(client: httpx.Client, gateway: GatewayRig) -> None:
    """Closed in the middle of a stream, the engine stops and the record says so."""
    gateway.engine.pause = 0.2
    body = {"input": "hi", "stream": True}
    with client.stream("POST", "/v1/responses", json=body) as response:
        assert next(response.iter_lines()) == "event: response.created"
    assert gateway.sink.generations(1)[0].finish_reason == "abort"
    assert gateway.engine.left.wait(10)
