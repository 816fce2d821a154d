"""Gateway: what goes up, what comes back, and what is recorded, on an engine that can misbehave.

The real engines are in test_gateway_engine.py; here an engine answers as vLLM does (vllm.md 4.1 and
7) and can also be slow, die in mid-stream, or not know a version.
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web

from rlwd.daemon.gateway.app import GatewaySettings, serve_gateway
from rlwd.daemon.gateway.identity import new_generation_id, session_of
from rlwd.ops.flags.assignment import ServedVersion, Shares, bucket, hash_user
from rlwd.ops.flags.flag_file import FlagState, to_document, write_flags
from rlwd.streams.events.event import (
    Event,
    Feedback,
    FeedbackEvent,
    Generation,
    GenerationEvent,
    decode_event,
)
from rlwd.streams.events.signals import Edited

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"
HELLO = {"model": "rlwd", "messages": [{"role": "user", "content": "hi"}]}


def version(number: int) -> ServedVersion:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ServedVersion(version=f"policy@v{number:06d}-{digest[:8]}", digest=digest)


class FakeEngine:
    """Answers four tokens, in vLLM's words; says what it was asked."""

    TOKENS, LOGPROBS, TEXTS = (11, 12, 13, 14), (-0.1, -0.2, -0.3, -0.4), ("Good", " ", "day", "!")

    def __init__(self) -> None:
        self.known = {version(n).version for n in range(4)}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.dies_after: int | None = None
        self.finish = "stop"
        self.pause = 0.0
        self.left = threading.Event()
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post(CHAT, self.answer)
        app.router.add_post(PLAIN, self.answer)
        app.router.add_get("/health", self.health)
        self.runner = web.AppRunner(app, handler_cancellation=True)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        chat = request.path == CHAT
        if body["model"] not in self.known:
            error = {"message": f"The model `{body['model']}` does not exist.", "code": 404}
            return web.json_response({"error": error}, status=404)
        if chat and "messages" not in body:
            error = {"message": "messages: Field required", "type": "Bad Request", "code": 400}
            return web.json_response({"error": error}, status=400)
        try:
            await asyncio.sleep(self.pause)
            if body.get("stream"):
                return await self.stream(request, body, chat)
            return web.json_response(self.whole(body, chat))
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    def logprobs(self, body: dict[str, Any], chat: bool, start: int, stop: int) -> Any:
        values = self.LOGPROBS[start:stop]
        if chat and body.get("logprobs"):
            return {"content": [{"token": "t", "logprob": v, "top_logprobs": []} for v in values]}
        if not chat and body.get("logprobs") is not None:
            return {"token_logprobs": list(values), "tokens": ["t"] * len(values)}
        return None

    def envelope(self, body: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
        kind = {"object": "chat.completion", "created": 1, "id": "chatcmpl-engine"}
        return {**kind, "model": body["model"], "choices": choices}

    def whole(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        text = "".join(self.TEXTS)
        choice = {
            "index": 0,
            "finish_reason": self.finish,
            "logprobs": self.logprobs(body, chat, 0, 4),
            "token_ids": list(self.TOKENS),
            **({"message": {"role": "assistant", "content": text}} if chat else {"text": text}),
        }
        out = self.envelope(body, [choice])
        (out if chat else choice)["prompt_token_ids"] = [1, 2, 3]
        out["usage"] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        return out

    async def stream(
        self, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await out.prepare(request)

        async def send(piece: dict[str, Any]) -> None:
            await out.write(b"data: " + json.dumps(piece).encode() + b"\n\n")

        if chat:
            role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None}
            await send({**self.envelope(body, [role]), "prompt_token_ids": [1, 2, 3]})
        for i, text in enumerate(self.TEXTS):
            if self.dies_after == i:
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
            choice = {
                "index": 0,
                "finish_reason": self.finish if i == 3 else None,
                "logprobs": self.logprobs(body, chat, i, i + 1),
                "token_ids": [self.TOKENS[i]],
                **({"delta": {"content": text}} if chat else {"text": text}),
            }
            if not chat and i == 0:
                choice["prompt_token_ids"] = [1, 2, 3]
            await send(self.envelope(body, [choice]))
            await asyncio.sleep(self.pause)
        if (body.get("stream_options") or {}).get("include_usage"):
            await send({**self.envelope(body, []), "usage": {"prompt_tokens": 3}})
        await out.write(b"data: [DONE]\n\n")
        return out


class RecordingSink:
    """Decodes what was flushed; away, it refuses."""

    def __init__(self) -> None:
        self.away = False
        self.queue: list[Event] = []
        self.flushed: list[Event] = []

    def __call__(self) -> "RecordingSink":
        return self

    def send(self, topic: str, key: str, value: bytes) -> None:
        event = decode_event(value)
        generation = isinstance(event, GenerationEvent)
        assert topic == ("rlwd.generations" if generation else "rlwd.feedback")
        assert key == event.data.session_id
        self.queue.append(event)

    def flush(self, timeout_seconds: float) -> None:
        if self.away:
            raise ConnectionError("away")
        self.flushed += self.queue
        self.queue = []

    def close(self) -> None:
        self.queue = []

    def wait(self, count: int) -> list[Event]:
        deadline = time.monotonic() + 10
        while len(self.flushed) < count:
            assert time.monotonic() < deadline, f"{len(self.flushed)} of {count} events came"
            time.sleep(0.01)
        return self.flushed

    def generations(self, count: int) -> list[Generation]:
        return [e.data for e in self.wait(count) if isinstance(e, GenerationEvent)]

    def feedback(self, count: int) -> list[Feedback]:
        return [e.data for e in self.wait(count) if isinstance(e, FeedbackEvent)]


class Loop:
    """An event loop in a thread, for servers that synchronous tests talk to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class House:
    """One engine, one gateway, one sink, one flag file."""

    def __init__(self, folder: Path, loop: Loop, stack: ExitStack) -> None:
        self.folder, self.loop, self.stack = folder, loop, stack
        self.engine, self.sink = FakeEngine(), RecordingSink()
        loop.run(self.engine.start())
        stack.callback(lambda: loop.run(self.engine.runner.cleanup()))
        self.flags = folder / "flags.json"
        self.generation = 0
        self.settings = GatewaySettings(
            empty_engine_seconds=0.0,
            port=0,
            engines=(self.engine.url,),
            flags=str(self.flags),
            spool=str(folder / "spool"),
            user_key="key",
            base_digest="base",
            tokenizer_digest="tok",
        )

    def set_flags(self, candidate: int = 0, anchor: int = 0) -> FlagState:
        self.generation += 1
        state = FlagState(
            policy="policy",
            generation=self.generation,
            salt="salt-1",
            champion=version(2),
            previous=version(1),
            anchor=version(0),
            candidate=version(3),
            shares=Shares(candidate=candidate, anchor=anchor),
        )
        return write_flags(self.flags, to_document(state))

    def open(self, **changes: Any) -> httpx.Client:
        settings = msgspec.structs.replace(self.settings, **changes)
        serving = serve_gateway(settings, self.sink)
        url = self.loop.run(serving.__aenter__())
        self.stack.callback(lambda: self.loop.run(serving.__aexit__(None, None, None)))
        return self.stack.enter_context(httpx.Client(base_url=url, timeout=30))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    loop = Loop()
    try:
        with ExitStack() as stack:
            yield House(tmp_path, loop, stack)
    finally:
        loop.close()


@pytest.fixture
def client(house: House) -> httpx.Client:
    house.set_flags()
    return house.open()


def stream(client: httpx.Client, path: str, body: dict[str, Any], **kw: Any) -> list[Any]:
    """Return the chunks of a stream, `[DONE]` left out but asserted."""
    with client.stream("POST", path, json={**body, "stream": True}, **kw) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line[6:] for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_gateway_does_not_load_torch() -> None:
    """The gateway starts without torch (CONTRACTS 25)."""
    code = "import rlwd.daemon.gateway.app, sys; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_chat_answer_hides_the_version_and_the_event_tells_all(
    client: httpx.Client, house: House
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
    assert response.headers["X-Rlwd-Version"] == state.version
    assert response.headers["X-Rlwd-Variant"] == "champion"
    assert "token_ids" not in response.text
    assert answer["choices"][0]["logprobs"] is None
    (event,) = house.sink.generations(1)
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
        engine=house.engine.url,
        harness="ide-3",
        salt="salt-1",
        bucket=bucket("salt-1", user),
        variant="champion",
        flag_generation=1,
        reason=event.reason,
        prompt_token_ids=(1, 2, 3),
        completion_token_ids=house.engine.TOKENS,
        logprobs=house.engine.LOGPROBS,
        text="Good day!",
        sampling=msgspec.convert({"temperature": 0.7}, type(event.sampling)),
        finish_reason="stop",
        usage=msgspec.convert({"prompt_tokens": 3, "completion_tokens": 4}, type(event.usage)),
        latency_seconds=event.latency_seconds,
    )
    assert event.reason in ("STATIC", "TARGETING_MATCH")
    assert 0 < event.latency_seconds < 5


@pytest.mark.parametrize("path", [CHAT, PLAIN])
def test_a_stream_is_the_same_event_as_a_whole_answer(
    path: str, client: httpx.Client, house: House
) -> None:
    """Chunks carry id and public name and nothing unasked; the event is that of a whole answer."""
    body = HELLO if path == CHAT else {"prompt": "hi"}
    chunks = stream(client, path, {**body, "stream_options": {"include_usage": True}})
    whole = client.post(path, json=body).json()
    assert {c["model"] for c in chunks} == {"rlwd"} == {whole["model"]}
    assert len({c["id"] for c in chunks}) == 1
    assert "token_ids" not in json.dumps(chunks) + json.dumps(whole)
    assert not any(choice.get("logprobs") for c in chunks for choice in c["choices"])
    first, second = house.sink.generations(2)
    assert first.generation_id == chunks[0]["id"]
    alike = {"generation_id": "", "session_id": "", "user_hash": "", "bucket": 0}
    alike |= {"latency_seconds": 0.0}
    replace = msgspec.structs.replace
    assert replace(first, **alike) == replace(second, **alike)
    assert first.logprobs == house.engine.LOGPROBS


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", [CHAT, PLAIN])
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("logprobs", [False, True])
def test_token_ids_and_logprobs_go_to_those_who_asked(
    streamed: bool, path: str, tokens: bool, logprobs: bool, client: httpx.Client, house: House
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
        assert ids == list(house.engine.TOKENS)
    (event,) = house.sink.generations(1)
    assert event.completion_token_ids == house.engine.TOKENS
    assert event.logprobs == house.engine.LOGPROBS


def test_what_goes_up_is_the_gateways_own(client: httpx.Client, house: House) -> None:
    """Nothing that chooses weights, slots or priorities, and no user, gets through to the engine."""
    client.post(
        CHAT,
        json={
            **HELLO,
            "user": "alice",
            "metadata": {"session": "s1"},
            "seed": 7,
            "cache_salt": "x",
            "priority": -5,
            "request_id": "mine",
            "top_k": 5,
        },
        headers={
            "X-data-parallel-rank": "1",
            "X-Vllm-Priority": "1",
            "X-Session-ID": "z",
            "X-Request-Id": "mine",
            "Authorization": "Bearer client",
        },
    )
    (asked,), (headers,) = house.engine.asked, house.engine.headers
    (event,) = house.sink.generations(1)
    assert asked == {
        "messages": HELLO["messages"],
        "model": version(2).version,
        "request_id": event.generation_id,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 5,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    assert event.sampling.top_k == 5
    sent = {name.lower() for name in headers}
    assert sent <= {
        "host",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "user-agent",
    }


def test_seed_passes_where_the_engine_can_take_it(house: House) -> None:
    """With strip_seed off the client's seed reaches the engine."""
    house.set_flags()
    house.open(strip_seed=False).post(CHAT, json={**HELLO, "seed": 7})
    assert house.engine.asked[0]["seed"] == 7


@pytest.mark.parametrize(
    ("extra", "constrained"),
    [
        ({}, False),
        ({"presence_penalty": 0, "repetition_penalty": 1, "logit_bias": {}}, False),
        ({"response_format": {"type": "text"}}, False),
        ({"presence_penalty": 0.5}, True),
        ({"frequency_penalty": -0.5}, True),
        ({"repetition_penalty": 1.1}, True),
        ({"logit_bias": {"5": 1}}, True),
        ({"response_format": {"type": "json_object"}}, True),
        ({"guided_regex": "a+"}, True),
        ({"structured_outputs": {"regex": "a+"}}, True),
        ({"tool_choice": "required"}, True),
        ({"min_tokens": 3}, True),
    ],
)
def test_a_bent_distribution_is_marked(
    extra: dict[str, Any], constrained: bool, client: httpx.Client, house: House
) -> None:
    """Penalties, bias and grammars are named in the event, so that the ratio lanes can exclude."""
    client.post(CHAT, json={**HELLO, **extra})
    (event,) = house.sink.generations(1)
    assert event.sampling.constrained is constrained


def test_users_are_served_by_their_bucket(house: House) -> None:
    """Every variant is served by its version, for all requests of a user alike."""
    state = house.set_flags(candidate=3000, anchor=2000)
    client = house.open()
    served = {"candidate": 3, "control": 2, "champion": 2, "anchor": 0}
    seen = set()
    for number in [*range(30), *range(30)]:
        response = client.post(CHAT, json={**HELLO, "user": f"u{number}"})
        variant = state.shares.of(bucket(state.salt, hash_user(f"u{number}", b"key")))
        assert response.headers["X-Rlwd-Variant"] == variant
        assert response.headers["X-Rlwd-Version"] == version(served[variant]).version
        seen.add(str(variant))
    assert seen == set(served)


def test_a_new_flag_file_reaches_the_next_requests(client: httpx.Client, house: House) -> None:
    """After a rewrite the gateway serves by the new generation within its reload period."""
    assert client.post(CHAT, json=HELLO).headers["X-Rlwd-Variant"] == "champion"
    house.set_flags(anchor=10_000)
    time.sleep(0.2)
    response = client.post(CHAT, json=HELLO)
    assert response.headers["X-Rlwd-Variant"] == "anchor"
    assert [g.flag_generation for g in house.sink.generations(2)] == [1, 2]


@pytest.mark.parametrize(("known", "answers"), [((0, 1), 1), ((0,), 0)])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_missing_version_falls_back_and_says_so(
    known: tuple[int, ...], answers: int, streamed: bool, client: httpx.Client, house: House
) -> None:
    """On 404 the previous version answers, then v0; version and digest are of what answered."""
    house.engine.known = {version(n).version for n in known}
    if streamed:
        stream(client, CHAT, HELLO)
    else:
        response = client.post(CHAT, json=HELLO)
        assert response.headers["X-Rlwd-Version"] == version(answers).version
    (event,) = house.sink.generations(1)
    assert (event.version, event.digest) == (version(answers).version, version(answers).digest)
    assert event.fallback
    assert event.reason == "fallback"
    assert event.variant == "champion"


def test_no_version_at_all_is_our_fault_not_the_clients(client: httpx.Client, house: House) -> None:
    """An engine that knows none of the versions is 503 in OpenAI's shape, and nothing is recorded."""
    house.engine.known = set()
    response = client.post(CHAT, json=HELLO)
    assert response.status_code == 503
    assert version(2).version in response.json()["error"]["message"]
    assert len(house.engine.asked) == 3


def test_an_engine_that_is_down_is_503(house: House) -> None:
    """Without an engine the client gets OpenAI's error shape, and readiness says why."""
    house.set_flags()
    client = house.open(engines=("http://127.0.0.1:1",))
    response = client.post(CHAT, json=HELLO)
    assert response.status_code == 503
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "engine" in ready.json()["reasons"][0]


def test_a_dead_replica_is_passed_over(house: House) -> None:
    """With one replica down, every session is answered by the other."""
    house.set_flags()
    client = house.open(engines=("http://127.0.0.1:1", house.engine.url))
    for number in range(8):
        response = client.post(CHAT, json=HELLO, headers={"X-Rlwd-Session": f"s{number}"})
        assert response.status_code == 200
    assert {g.engine for g in house.sink.generations(8)} == {house.engine.url}


def test_an_engine_dying_in_mid_stream_is_told_and_recorded(
    client: httpx.Client, house: House
) -> None:
    """The client gets an error event instead of silence; what it saw is recorded as `error`."""
    house.engine.dies_after = 2
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        lines = [line[6:] for line in response.iter_lines() if line]
    assert json.loads(lines[-1])["error"]["type"] == "bad_gateway"
    (event,) = house.sink.generations(1)
    assert event.finish_reason == "error"
    assert event.text == "Good "
    assert event.completion_token_ids == house.engine.TOKENS[:2]
    assert event.captured


def test_an_abort_by_the_engine_is_not_a_complete_answer(
    client: httpx.Client, house: House
) -> None:
    """A 200 with finish reason abort is recorded as abort."""
    house.engine.finish = "abort"
    client.post(CHAT, json=HELLO)
    stream(client, CHAT, HELLO)
    assert [g.finish_reason for g in house.sink.generations(2)] == ["abort", "abort"]


def test_a_client_that_leaves_a_stream_stops_the_engine(client: httpx.Client, house: House) -> None:
    """Leaving closes the engine's stream, and the event says abort with what was seen."""
    house.engine.pause = 0.2
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        seen = next(response.iter_lines())
        assert seen.startswith("data: ")
    assert house.engine.left.wait(5)
    (event,) = house.sink.generations(1)
    assert event.finish_reason == "abort"
    assert len(event.completion_token_ids or ()) < 4


def test_a_client_that_does_not_wait_stops_the_engine(client: httpx.Client, house: House) -> None:
    """Leaving before any byte came also stops the engine, and is recorded without tokens."""
    house.engine.pause = 5.0
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json=HELLO, timeout=0.3)
    assert house.engine.left.wait(5)
    (event,) = house.sink.generations(1)
    assert (event.finish_reason, event.completion_token_ids) == ("abort", None)


def test_chunks_are_passed_on_as_they_come(client: httpx.Client, house: House) -> None:
    """The first token is with the client long before the last one is made."""
    house.engine.pause = 0.3
    started = time.monotonic()
    times = []
    with client.stream("POST", PLAIN, json={"prompt": "hi", "stream": True}) as response:
        times = [time.monotonic() - started for line in response.iter_lines() if line]
    assert times[-1] - times[0] > 0.8


def test_a_slow_engine_is_504(house: House) -> None:
    """Past the request timeout the client gets an error, not a hang."""
    house.set_flags()
    house.engine.pause = 5.0
    response = house.open(request_seconds=0.3).post(CHAT, json=HELLO)
    assert response.status_code == 504


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (CHAT, "{", 400, "unexpected end"),
        (CHAT, "[]", 400, "object"),
        (CHAT, '{"model": "rlwd"}', 400, "messages: Field required"),
        (CHAT, json.dumps({**HELLO, "model": "policy@v000002-d4735e3a"}), 404, "does not exist"),
        (CHAT, json.dumps({**HELLO, "n": 2}), 400, "n: only 1"),
        (CHAT, json.dumps({**HELLO, "stream": 1}), 400, "stream"),
        (CHAT, json.dumps({**HELLO, "temperature": "hot"}), 400, "temperature"),
        (CHAT, json.dumps({**HELLO, "metadata": 5}), 400, "metadata"),
        (CHAT, json.dumps({**HELLO, "user": 5}), 400, "user"),
        (CHAT, json.dumps({**HELLO, "metadata": {"session": "a b"}}), 400, "session"),
        (CHAT, json.dumps({**HELLO, "metadata": {"consent": "perhaps"}}), 400, "consent"),
        (PLAIN, json.dumps({"prompt": ["a", "b"]}), 400, "prompt: only one"),
        (PLAIN, json.dumps({"prompt": "a", "echo": True}), 400, "echo"),
        (PLAIN, json.dumps({"prompt": "x" * 70_000}), 413, ""),
        ("/v1/embeddings", "{}", 404, ""),
    ],
)
def test_bad_requests_get_a_clear_error(
    path: str, body: str, status: int, says: str, house: House
) -> None:
    """Each is refused in OpenAI's error shape, naming the field, and the next request is served."""
    house.set_flags()
    client = house.open(max_body_bytes=65_536)
    response = client.post(path, content=body, headers={"X-Rlwd-User": ""})
    assert response.status_code == status
    assert says in response.json()["error"]["message"]
    assert client.post(CHAT, json=HELLO).status_code == 200
    assert len(house.sink.generations(1)) == 1


def test_a_token_is_asked_for_where_one_is_set(house: House) -> None:
    """Everything but liveness and readiness needs the token."""
    house.set_flags()
    client = house.open(token="secret")
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    wrong = {"Authorization": "Bearer wrong"}
    assert client.post(CHAT, json=HELLO, headers=wrong).status_code == 401
    for path in (CHAT, "/v1/feedback", "/ofrep/v1/evaluate/flags/policy"):
        assert client.post(path, json=HELLO).status_code == 401
    assert client.get("/metrics").status_code == 401
    good = {"Authorization": "Bearer secret"}
    assert client.post(CHAT, json=HELLO, headers=good).status_code == 200


@pytest.mark.parametrize("field", ["token", "user_key"])
def test_beyond_loopback_secrets_are_required(field: str) -> None:
    """A gateway that others can reach does not start without token and user key."""
    given = {"host": "0.0.0.0", "token": "t", "user_key": "k"} | {field: ""}
    with pytest.raises(ValueError, match=f"gateway.{field}"):
        msgspec.convert(given, GatewaySettings)
    msgspec.convert({**given, "host": "127.0.0.1"}, GatewaySettings)


def test_only_the_public_model_is_listed(client: httpx.Client) -> None:
    """`/v1/models` shows one name and no version."""
    listed = client.get("/v1/models").json()
    assert [entry["id"] for entry in listed["data"]] == ["rlwd"]


def test_without_flags_nobody_is_served(house: House) -> None:
    """Before there is a flag file requests are 503 and readiness names the file; then it goes on."""
    client = house.open()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "flags.json" in ready.json()["reasons"][0]
    assert client.post(CHAT, json=HELLO).status_code == 503
    house.set_flags()
    time.sleep(0.2)
    assert client.post(CHAT, json=HELLO).status_code == 200
    assert client.get("/readyz").json()["flag_generation"] == 1


def test_without_consent_nothing_said_is_kept(client: httpx.Client, house: House) -> None:
    """The generation is counted, with its usage, but has neither text nor tokens."""
    client.post(CHAT, json=HELLO, headers={"X-Rlwd-Consent": "false"})
    (event,) = house.sink.generations(1)
    assert not event.consent
    assert (event.text, event.prompt_token_ids, event.completion_token_ids) == ("", None, None)
    assert event.usage.completion_tokens == 4


def test_headers_beat_metadata_and_the_session_stands_in_for_a_user(
    client: httpx.Client, house: House
) -> None:
    """A header wins over the body; without a user, a session's requests share one bucket."""
    body = {**HELLO, "metadata": {"session": "from-body", "tenant": "t1"}}
    for _ in range(2):
        client.post(CHAT, json=body, headers={"X-Rlwd-Session": "from-header"})
    client.post(CHAT, json={**HELLO, "user": "from-header"})
    one, two, three = house.sink.generations(3)
    assert (one.session_id, one.tenant) == ("from-header", "t1")
    assert one.user_hash == two.user_hash != three.user_hash


def test_generation_ids_grow_and_carry_their_session() -> None:
    """Ids of one process sort by time and never repeat, whatever the session looks like."""
    ids = [new_generation_id("a.b", 1e9 + n / 1000) for n in range(2000)]
    assert sorted(ids) == ids
    assert len({new_generation_id("s", 1.0) for _ in range(2000)}) == 2000
    assert {session_of(i) for i in ids} == {"a.b"}
    assert session_of("cmpl-abc.def") is None


def test_feedback_is_taken_and_reaches_the_log(client: httpx.Client, house: House) -> None:
    """A posted feedback is 202 and comes out as its event, keyed by the generation's session."""
    generation = client.post(CHAT, json={**HELLO, "metadata": {"session": "s7"}}).json()["id"]
    response = client.post(
        "/v1/feedback",
        json={
            "feedback_id": "f1",
            "generation_id": generation,
            "signal": {"kind": "edited", "final_text": "Good night!"},
            "actor": "agent",
            "time": "2026-11-21T12:00:00+02:00",
            "unknown": 1,
        },
        headers={"X-Rlwd-Tenant": "acme"},
    )
    assert (response.status_code, response.json()) == (202, {"feedback_id": "f1", "status": 202})
    house.sink.wait(2)
    (event,) = [e for e in house.sink.flushed if isinstance(e, FeedbackEvent)]
    assert event.data == Feedback(
        feedback_id="f1",
        generation_id=generation,
        session_id="s7",
        signal=Edited(final_text="Good night!"),
        tenant="acme",
        actor="agent",
    )
    assert event.source == "/feedback/acme"
    assert event.time.isoformat() == "2026-11-21T12:00:00+02:00"


def test_a_list_of_feedback_is_answered_one_by_one(client: httpx.Client, house: House) -> None:
    """The good ones are taken, each bad one is told what is wrong with it."""
    good = {"generation_id": "foreign", "session_id": "s1", "signal": {"kind": "accepted"}}
    ours = new_generation_id("s1", 1.0)
    posts: list[Any] = [
        {**good, "feedback_id": "1"},
        {**good},
        {**good, "feedback_id": "3", "signal": {"kind": "loved"}},
        {**good, "feedback_id": "4", "signal": {"kind": "rated", "value": 2}},
        {"feedback_id": "5", "generation_id": "foreign", "signal": {"kind": "accepted"}},
        {**good, "feedback_id": "6", "generation_id": ours, "session_id": "s2"},
        {**good, "feedback_id": "7", "time": "2026-11-21T12:00:00"},
        "text",
        {**good, "feedback_id": "9", "replaces": "1"},
    ]
    response = client.post("/v1/feedback", json=posts)
    results = response.json()["results"]
    assert response.status_code == 207
    assert [r["status"] for r in results] == [202, 400, 400, 400, 400, 400, 400, 400, 202]
    says = [r["error"]["message"] for r in results if r["status"] == 400]
    for expected, message in zip(
        ["feedback_id", "loved", "value", "session_id", "session_id", "zone", "object"],
        says,
        strict=True,
    ):
        assert expected in message
    assert [f.feedback_id for f in house.sink.feedback(2)] == ["1", "9"]
    assert client.post("/v1/feedback", json=posts[:1]).status_code == 202


@pytest.mark.parametrize(
    ("signal", "says"),
    [
        ({"kind": "interrupted"}, None),
        ({"kind": "tool_result", "tool": "search", "error_class": None}, None),
        ({"kind": "tool_result", "tool": "search", "error_class": "timeout"}, None),
        ({"kind": "tool_result", "tool": "search"}, "error_class"),
        ({"kind": "tool_result", "tool": "search", "error_class": "bad_luck"}, "error_class"),
        ({"kind": "resolved"}, None),
        ({"kind": "escalated"}, None),
        ({"kind": "regenerated"}, None),
        ({"kind": "regenerated", "new_generation_id": "s1.g2"}, None),
        ({"kind": "outcome", "name": "sold", "value": 0.5, "amount": 120, "unit": "EUR"}, None),
        ({"kind": "outcome", "name": "sold", "value": 120}, "value"),
        ({"kind": "followed_up", "text": "shorter", "statement": "direction"}, None),
        ({"kind": "followed_up", "text": "shorter", "statement": "mood"}, "statement"),
    ],
)
def test_work_data_is_taken_as_it_is(
    signal: dict[str, Any], says: str | None, client: httpx.Client, house: House
) -> None:
    """Each kind of the taxonomy is posted as it stands on the topic; a wrong one names its field."""
    post = {"feedback_id": "f", "generation_id": "foreign", "session_id": "s", "signal": signal}
    response = client.post("/v1/feedback", json=post)
    if says is None:
        assert response.status_code == 202
        (taken,) = house.sink.feedback(1)
        assert msgspec.to_builtins(taken.signal).items() >= signal.items()
    else:
        assert response.status_code == 400
        assert f"$.signal.{says}" in response.text or f"`{says}`" in response.text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"feedback_id": "a\0b"}, r"$.feedback_id: holds a NUL"),
        ({"generation_id": "ü" * 400}, r"$.generation_id: is longer than 512 bytes"),
        ({"time": "9999-12-31T23:59:59-14:00"}, r"$.time: "),
    ],
)
def test_what_ingest_would_bury_is_refused_at_the_door(
    fields: dict[str, str], says: str, client: httpx.Client
) -> None:
    """A client hears of what no ledger can hold, instead of a 202 and a dead letter."""
    good = {"generation_id": "foreign", "session_id": "s1", "signal": {"kind": "accepted"}}
    response = client.post("/v1/feedback", json={"feedback_id": "f", **good, **fields})
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize("body", ["{", '"x"', "[" + ",".join("1" * 1001) + "]"])
def test_what_is_no_feedback_is_400(body: str, client: httpx.Client) -> None:
    """Broken JSON, another type, or too long a list is refused as a whole."""
    assert client.post("/v1/feedback", content=body).status_code == 400


def test_requests_are_served_while_the_log_is_away(client: httpx.Client, house: House) -> None:
    """With the log away answers and 202s go out as ever, and everything arrives once it is back."""
    house.sink.away = True
    ids = [client.post(CHAT, json=HELLO).json()["id"] for _ in range(5)]
    post = {"feedback_id": "f", "generation_id": ids[0], "signal": {"kind": "accepted"}}
    assert client.post("/v1/feedback", json=post).status_code == 202
    assert house.sink.flushed == []
    house.sink.away = False
    assert [g.generation_id for g in house.sink.generations(6)] == ids
    assert len(house.sink.feedback(6)) == 1


def test_an_answer_cut_by_a_crash_is_a_generation_without_capture(house: House) -> None:
    """After a SIGKILL in mid-stream the next life sends the admission as not captured."""
    house.set_flags()
    house.engine.pause = 0.5
    code = (
        "import sys, msgspec\n"
        "from rlwd.daemon.gateway.app import GatewaySettings, run_gateway\n"
        "class Away:\n"
        "    def __init__(self): raise ConnectionError('away')\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings), Away)\n"
    )
    from rlwd.ops.servers.process import free_port

    port = free_port()
    settings = msgspec.json.encode(msgspec.structs.replace(house.settings, port=port)).decode()
    child = subprocess.Popen([sys.executable, "-c", code, settings])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            body = {**HELLO, "user": "alice", "stream": True}
            with client.stream("POST", CHAT, json=body) as response:
                lines = response.iter_lines()  # kept: a dropped one would close
                first = json.loads(next(lines)[6:])
                child.kill()
    finally:
        child.kill()
        child.wait()
    house.open()
    (event,) = house.sink.generations(1)
    assert event.generation_id == first["id"]
    assert not event.captured
    assert event.version == version(2).version
    assert event.user_hash == hash_user("alice", b"key")


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("it never came true")


def test_sigterm_ends_in_order(house: House, tmp_path: Path) -> None:
    """On SIGTERM the process forwards what it has and ends with 0."""
    house.set_flags()
    code = (
        "import sys, msgspec\n"
        "from pathlib import Path\n"
        "from rlwd.streams.log.embedded_log import EmbeddedSink\n"
        "from rlwd.daemon.gateway.app import GatewaySettings, run_gateway\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings),"
        " lambda: EmbeddedSink(Path(sys.argv[2])))\n"
    )
    from rlwd.ops.servers.process import free_port
    from rlwd.streams.log.embedded_log import EmbeddedSource

    port = free_port()
    settings = msgspec.json.encode(msgspec.structs.replace(house.settings, port=port)).decode()
    log = tmp_path / "log.db"
    child = subprocess.Popen([sys.executable, "-c", code, settings, str(log)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            generation = client.post(CHAT, json=HELLO).json()["id"]
        child.terminate()
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
    source = EmbeddedSource(log, ["rlwd.generations"], resume=lambda _: {})
    records = source.poll(0.0, 10)
    source.close()
    assert [decode_event(r.value).id for r in records] == [generation]


def test_metrics_show_what_was_served(client: httpx.Client, house: House) -> None:
    """Counters tell generations by variant and end, and which flag generation is read."""
    client.post(CHAT, json=HELLO)
    house.sink.wait(1)
    page = client.get("/metrics").text
    assert 'rlwd_gateway_generations_total{finish="stop",variant="champion"} 1.0' in page
    assert "rlwd_gateway_flag_generation 1.0" in page
    assert "rlwd_gateway_anonymous_total 1.0" in page
    assert 'rlwd_gateway_requests_total{route="/v1/chat/completions",status="200"} 1.0' in page
