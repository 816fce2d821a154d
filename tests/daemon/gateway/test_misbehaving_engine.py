"""An engine that misbehaves: the client gets its answer, and the event says what became of it."""

import json
import time
from typing import Any

import httpx
import pytest
from fake_engine import Misbehaviour
from gateway_rig import CHAT, HELLO, PLAIN, GatewayRig, stream, version

TOKENS, LOGPROBS = (11, 12, 13, 14), (-0.1, -0.2, -0.3, -0.4)


def read_until_done(client: httpx.Client, body: dict[str, Any]) -> list[bytes]:
    """Read as OpenAI's clients do: close at `[DONE]`, whatever the server still does."""
    lines = []
    with client.stream("POST", CHAT, json={**body, "stream": True}) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line:
                lines.append(line.encode())
            if line == "data: [DONE]":
                break
    return lines


@pytest.mark.parametrize("linger", [0.002, 0.05, 3.0])
def test_a_client_that_closes_at_done_has_the_whole_answer(
    linger: float, client: httpx.Client, gateway: GatewayRig
) -> None:
    """An engine that lingers after `[DONE]` makes no abort of an answer that it said had ended."""
    gateway.engine.wrong = Misbehaviour(linger=linger)
    started = time.monotonic()
    for _ in range(10):
        read_until_done(client, HELLO)
    assert time.monotonic() - started < 10 * linger + 10
    events = gateway.sink.generations(10)
    assert [g.finish_reason for g in events] == ["stop"] * 10
    assert all(g.completion_token_ids == TOKENS and g.logprobs == LOGPROBS for g in events)


def test_a_tool_call_that_was_read_to_its_end_is_one(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A streamed call of a tool ends as `tool_calls`, and its tokens are kept."""
    gateway.engine.wrong = Misbehaviour(linger=1.0)
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    read_until_done(client, {**HELLO, "tools": [tool]})
    (event,) = gateway.sink.generations(1)
    assert (event.finish_reason, event.completion_token_ids) == ("tool_calls", TOKENS)


def test_leaving_before_the_last_word_is_an_abort(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A client that leaves before the engine said how the answer ended leaves an abort."""
    gateway.engine.pause = 0.2
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        lines = response.iter_lines()
        while '"day"' not in next(lines):
            pass
    assert gateway.engine.left.wait(5)
    (event,) = gateway.sink.generations(1)
    assert event.finish_reason == "abort"
    assert event.completion_token_ids in (TOKENS[:3], TOKENS[:2])


@pytest.mark.parametrize(
    "wrong",
    [
        Misbehaviour(line_end=b"\r\n"),
        Misbehaviour(line_end=b"\r"),
        Misbehaviour(line_end=b"\r\n", torn=True),
        Misbehaviour(torn=True),
        Misbehaviour(last_blank_line=False),
        Misbehaviour(line_end=b"\r\n", last_blank_line=False),
        Misbehaviour(comments=True),
        Misbehaviour(padding=300_000),
        Misbehaviour(done=False),
    ],
)
def test_every_way_to_write_a_stream_is_read(
    wrong: Misbehaviour, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Line ends, torn bytes, a missing last blank line, comments, huge chunks: all as one answer."""
    gateway.engine.wrong = wrong
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        raw = response.read()
    assert version(2).version.encode() not in raw
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    choices = [choice for line in lines[:-1] for choice in json.loads(line)["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Good day!"
    (event,) = gateway.sink.generations(1)
    assert (event.text, event.finish_reason, event.capture_problem) == ("Good day!", "stop", "")
    assert (event.completion_token_ids, event.logprobs) == (TOKENS, LOGPROBS)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("wrong", "says", "tokens"),
    [
        (Misbehaviour(nan_at=1), "logprobs", TOKENS),
        (Misbehaviour(odd_ids=True), "token_ids: are no token ids", None),
        (Misbehaviour(usage_says=9), "usage counts 9", None),
    ],
)
def test_what_could_not_be_captured_is_said(
    wrong: Misbehaviour,
    says: str,
    tokens: tuple[int, ...] | None,
    streamed: bool,
    client: httpx.Client,
    gateway: GatewayRig,
) -> None:
    """The client has its answer; the event has what can be believed, and why there is no more."""
    gateway.engine.wrong = wrong
    body = {**HELLO, "logprobs": True, "stream_options": {"include_usage": True}}
    if streamed:
        assert len(stream(client, CHAT, body)) == 6
    else:
        assert (
            client.post(CHAT, json=body).json()["choices"][0]["message"]["content"] == "Good day!"
        )
    (event,) = gateway.sink.generations(1)
    assert says in event.capture_problem
    assert (event.completion_token_ids, event.logprobs) == (tokens, None)
    assert (event.text, event.finish_reason) == ("Good day!", "stop")


def test_a_chunk_without_its_ids_spoils_the_tokens(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """With a hole in its tokens none of an answer is believed."""
    gateway.engine.wrong = Misbehaviour(drops_ids_at=1)
    stream(client, CHAT, {**HELLO, "stream_options": {"include_usage": True}})
    (event,) = gateway.sink.generations(1)
    assert event.completion_token_ids is None
    assert "usage counts 4" in event.capture_problem


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("way", ["dies", "closes", "error"])
def test_an_engine_that_breaks_off_anywhere_is_an_error(
    way: str, place: int, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Wherever an answer breaks off, the client hears of it and the event says `error`."""
    if way == "dies":
        gateway.engine.dies_after = place
    elif way == "closes":
        gateway.engine.wrong = Misbehaviour(closes_after=place)
    else:
        gateway.engine.wrong = Misbehaviour(error_at=place)
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        lines = [line[6:] for line in response.iter_lines() if line]
    told = [json.loads(line) for line in lines if line != "[DONE]"]
    assert told[-1]["error"]["code"] == 502
    assert gateway.engine.url not in str(told)
    assert version(2).version not in str(told)
    (event,) = gateway.sink.generations(1)
    assert event.finish_reason == "error"
    assert event.text == "".join(("Good", " ", "day", "!")[:place])


def test_a_refusal_in_mid_stream_keeps_its_words(client: httpx.Client, gateway: GatewayRig) -> None:
    """An error chunk of the caller's own making is passed on, with the public model name."""
    gateway.engine.wrong = Misbehaviour(error_at=2, error_code=400)
    told = stream(client, CHAT, HELLO)[-1]
    assert told["error"]["code"] == 400
    assert told["error"]["message"].startswith("rlwd broke")


def test_an_end_before_the_connections_is_an_end(client: httpx.Client, gateway: GatewayRig) -> None:
    """An engine that dies after it said how the answer ended has ended it; clients get `[DONE]`."""
    gateway.engine.wrong = Misbehaviour(done=False)
    lines = read_until_done(client, HELLO)
    assert lines[-1] == b"data: [DONE]"
    (event,) = gateway.sink.generations(1)
    assert (event.finish_reason, event.completion_token_ids) == ("stop", TOKENS)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("finish", "recorded"),
    [("content_filter", "content_filter"), ("length", "length"), (None, "error")],
)
def test_the_end_is_recorded_as_the_engine_said_it(
    finish: str | None, recorded: str, streamed: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """No end is made up: where the engine said none, the event says `error`."""
    gateway.engine.finish = finish
    with client.stream("POST", CHAT, json={**HELLO, "stream": streamed}) as response:
        response.read()
    (event,) = gateway.sink.generations(1)
    assert event.finish_reason == recorded


@pytest.mark.parametrize(
    ("wrong", "status", "recorded"),
    [
        (Misbehaviour(status=400), 400, "refused"),
        (Misbehaviour(status=429, retry_after="7"), 429, "refused"),
        (Misbehaviour(status=500), 500, "error"),
        (Misbehaviour(status=503), 503, "error"),
        (Misbehaviour(status=302), 502, "error"),
        (Misbehaviour(raw_body=b"<html>"), 502, "error"),
        (Misbehaviour(raw_body=b"[]"), 502, "error"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_request_that_was_assigned_ends_in_one_event(
    wrong: Misbehaviour,
    status: int,
    recorded: str,
    streamed: bool,
    client: httpx.Client,
    gateway: GatewayRig,
) -> None:
    """A refused or failed request has its event: variant, version, outcome, status, and no tokens."""
    gateway.engine.wrong = wrong
    response = client.post(CHAT, json={**HELLO, "user": "alice", "stream": streamed})
    assert response.status_code == status
    assert response.headers.get("Retry-After", "") == wrong.retry_after
    (event,) = gateway.sink.generations(1)
    assert (event.finish_reason, event.status) == (recorded, status)
    assert (event.variant, event.version) == ("champion", version(2).version)
    assert (event.completion_token_ids, event.text) == (None, "")
    assert response.headers["X-Rlwd-Generation"] == event.generation_id
    assert version(2).version not in response.text
    if status >= 500:
        assert gateway.engine.url not in response.text
        assert "/srv" not in response.text


def test_an_absent_and_a_slow_engine_leave_events_too(gateway: GatewayRig) -> None:
    """No engine is an `error` with 503, and one that is too slow a `timeout` with 504."""
    gateway.set_flags()
    absent = gateway.open(engines=("http://127.0.0.1:1",))
    response = absent.post(CHAT, json=HELLO)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "127.0.0.1" not in response.text
    gateway.engine.pause = 5.0
    slow = gateway.open(request_seconds=0.3, spool=str(gateway.folder / "other"))
    assert slow.post(CHAT, json=HELLO).status_code == 504
    ends = {(g.finish_reason, g.status) for g in gateway.sink.generations(2)}
    assert ends == {("error", 503), ("timeout", 504)}


def test_hidden_reasoning_hides_no_tokens(client: httpx.Client, gateway: GatewayRig) -> None:
    """`include_reasoning` is the gateway's to obey: an engine would leave out token ids with it."""
    answer = {
        "id": "x",
        "model": version(2).version,
        "prompt_token_ids": [1],
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "yes", "reasoning": "because"},
                "token_ids": [7, 8],
                "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -0.25}]},
            }
        ],
    }
    gateway.engine.wrong = Misbehaviour(raw_body=json.dumps(answer).encode())
    response = client.post(CHAT, json={**HELLO, "include_reasoning": False})
    assert response.json()["choices"][0]["message"] == {"role": "assistant", "content": "yes"}
    assert "include_reasoning" not in gateway.engine.asked[0]
    (event,) = gateway.sink.generations(1)
    assert event.completion_token_ids == (7, 8)
    assert "because" in client.post(CHAT, json=HELLO).text


def test_half_a_surrogate_pair_reaches_the_client(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Text that UTF-8 cannot hold goes on as JSON, and into the event with a mark in its place."""
    message = '{"role": "assistant", "content": "ab\\ud83d"}'
    choice = f'{{"index": 0, "finish_reason": "stop", "message": {message}}}'
    gateway.engine.wrong = Misbehaviour(raw_body=f'{{"id": "x", "choices": [{choice}]}}'.encode())
    response = client.post(CHAT, json=HELLO)
    assert response.status_code == 200
    assert "\\ud83d" in response.text
    (event,) = gateway.sink.generations(1)
    assert event.text == "ab?"


def test_plain_completions_misbehave_alike(client: httpx.Client, gateway: GatewayRig) -> None:
    """What holds for chats holds for plain completions."""
    gateway.engine.wrong = Misbehaviour(line_end=b"\r\n", torn=True, nan_at=2)
    chunks = stream(client, PLAIN, {"prompt": "hi"})
    assert "".join(c["text"] for chunk in chunks for c in chunk["choices"]) == "Good day!"
    (event,) = gateway.sink.generations(1)
    assert (event.completion_token_ids, event.logprobs) == (TOKENS, None)
