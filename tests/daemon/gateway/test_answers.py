"""What clients get and what the log is told of complete answers."""

import json
import subprocess
import sys
import time
from typing import Any

import httpx
import msgspec
import pytest
from gateway_rig import CHAT, HELLO, PLAIN, GatewayRig, stream, version

from rlwd.daemon.callers.generation_ids import session_of
from rlwd.ops.flags.assignment import bucket, hash_user
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage


def test_gateway_does_not_load_torch() -> None:
    """The gateway starts without torch (CONTRACTS 25)."""
    code = "import rlwd.daemon.gateway.app, sys; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_chat_answer_hides_the_version_and_the_event_tells_all(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """The client sees id and public name; the event has who, what, by which bits, and why."""
    response = client.post(
        CHAT,
        json={**HELLO, "user": "alice", "metadata": {"session": "s.1"}, "temperature": 0.7},
        headers={"X-Rlwd-Segment": "code", "X-Rlwd-Parent": "p1", "X-Rlwd-Harness": "ide-3"},
    )
    answer, state = response.json(), version(2)
    assert response.status_code == 200
    assert session_of(answer["id"]) == "s.1"
    assert answer["model"] == "rlwd"
    assert answer["choices"][0]["message"]["content"] == "Good day!"
    assert response.headers["X-Rlwd-Version"].partition("; ")[0] == state.version
    assert response.headers["X-Rlwd-Variant"] == "champion"
    assert "token_ids" not in response.text
    assert answer["choices"][0]["logprobs"] is None
    (event,) = gateway.sink.generations(1)
    user = hash_user("alice", b"key")
    assert event == Generation(
        generation_id=answer["id"],
        session_id="s.1",
        parent_id="p1",
        user_hash=user,
        segment="code",
        policy="policy",
        version=state.version,
        digest=state.digest,
        base_digest="base",
        tokenizer_digest="tok",
        engine=gateway.engine.url,
        harness="ide-3",
        salt="salt-1",
        bucket=bucket("salt-1", user),
        variant="champion",
        flag_generation=1,
        reason=event.reason,
        prompt_token_ids=(1, 2, 3),
        completion_token_ids=gateway.engine.TOKENS,
        logprobs=gateway.engine.LOGPROBS,
        text="Good day!",
        redacted=(),
        purposes=("count", "train"),
        sampling=msgspec.convert({"temperature": 0.7}, type(event.sampling)),
        finish_reason="stop",
        usage=msgspec.convert({"prompt_tokens": 3, "completion_tokens": 4}, type(event.usage)),
        session_found="named",
        input=(InputMessage(role="user", text="hi"),),
        tool_call_count=0,
        latency_seconds=event.latency_seconds,
    )
    assert event.reason in ("STATIC", "TARGETING_MATCH")
    assert 0 < event.latency_seconds < 5


@pytest.mark.parametrize("path", [CHAT, PLAIN])
def test_a_stream_is_the_same_event_as_a_whole_answer(
    path: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Chunks carry id and public name and nothing unasked; the event is that of a whole answer."""
    body = HELLO if path == CHAT else {"prompt": "hi"}
    chunks = stream(client, path, {**body, "stream_options": {"include_usage": True}})
    whole = client.post(path, json=body).json()
    assert {c["model"] for c in chunks} == {"rlwd"} == {whole["model"]}
    assert len({c["id"] for c in chunks}) == 1
    assert "token_ids" not in json.dumps(chunks) + json.dumps(whole)
    assert not any(choice.get("logprobs") for c in chunks for choice in c["choices"])
    first, second = gateway.sink.generations(2)
    assert first.generation_id == chunks[0]["id"]
    alike = {"generation_id": "", "session_id": "", "user_hash": "", "bucket": 0}
    alike |= {"latency_seconds": 0.0}
    replace = msgspec.structs.replace
    assert replace(first, **alike) == replace(second, **alike)
    assert first.logprobs == gateway.engine.LOGPROBS


@pytest.mark.parametrize("streamed", [False, True])
def test_calls_of_tools_and_cached_tokens_are_counted(
    streamed: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """A call counts once, in however many pieces it comes; so does what the engine had cached."""
    gateway.engine.calls, gateway.engine.cached = 2, 1
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    body = {**HELLO, "tools": [tool]}
    if streamed:
        stream(client, CHAT, body)
    else:
        client.post(CHAT, json=body)
    (event,) = gateway.sink.generations(1)
    assert (event.tool_call_count, event.usage.cached_prompt_tokens) == (2, 1)


@pytest.mark.parametrize("asked", [None, {"include_usage": False}, {"include_usage": True}])
def test_a_streams_usage_goes_to_those_who_asked(
    asked: dict[str, bool] | None, client: httpx.Client, gateway: GatewayRig
) -> None:
    """The engine is always asked to count; a client that did not ask sees no chunk for it."""
    chunks = stream(client, CHAT, {**HELLO, **({"stream_options": asked} if asked else {})})
    told = [chunk for chunk in chunks if not chunk["choices"]]
    assert len(told) == (1 if asked and asked["include_usage"] else 0)
    assert any(chunk.get("usage") for chunk in chunks) is bool(told)
    (event,) = gateway.sink.generations(1)
    assert event.usage.prompt_tokens == 3
    assert event.usage.cached_prompt_tokens is None


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", [CHAT, PLAIN])
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("logprobs", [False, True])
def test_token_ids_and_logprobs_go_to_those_who_asked(
    streamed: bool,
    path: str,
    tokens: bool,
    logprobs: bool,
    client: httpx.Client,
    gateway: GatewayRig,
) -> None:
    """Each is returned exactly where it was asked for, and captured in any case."""
    body: dict[str, Any] = dict(HELLO) if path == CHAT else {"prompt": "hi"}
    if tokens:
        body["return_token_ids"] = True
    if logprobs:
        body["logprobs"] = True if path == CHAT else 0
    chunks = stream(client, path, body) if streamed else [client.post(path, json=body).json()]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert ("token_ids" in json.dumps(chunks)) is tokens
    assert any(choice.get("logprobs") for choice in choices) is logprobs
    if tokens:
        ids = [t for choice in choices for t in choice.get("token_ids") or ()]
        assert ids == list(gateway.engine.TOKENS)
    (event,) = gateway.sink.generations(1)
    assert event.completion_token_ids == gateway.engine.TOKENS
    assert event.logprobs == gateway.engine.LOGPROBS


def test_chunks_are_passed_on_as_they_come(client: httpx.Client, gateway: GatewayRig) -> None:
    """The first token is with the client long before the last one is made."""
    gateway.engine.pause = 0.3
    started = time.monotonic()
    times = []
    with client.stream("POST", PLAIN, json={"prompt": "hi", "stream": True}) as response:
        times = [time.monotonic() - started for line in response.iter_lines() if line]
    assert times[-1] - times[0] > 0.8


def test_only_the_public_model_is_listed(client: httpx.Client) -> None:
    """`/v1/models` shows one name and no version."""
    listed = client.get("/v1/models").json()
    assert [entry["id"] for entry in listed["data"]] == ["rlwd"]


def test_metrics_show_what_was_served(client: httpx.Client, gateway: GatewayRig) -> None:
    """Counters tell generations by variant and end, and which flag generation is read."""
    client.post(CHAT, json=HELLO)
    gateway.sink.wait(1)
    page = client.get("/metrics").text
    assert 'rlwd_gateway_generations_total{finish="stop",variant="champion"} 1.0' in page
    assert "rlwd_gateway_flag_generation 1.0" in page
    assert "rlwd_gateway_anonymous_total 1.0" in page
    assert 'rlwd_gateway_requests_total{route="/v1/chat/completions",status="200"} 1.0' in page
