"""One contract for every engine: the embedded one, a real vLLM, and a router of full weights.

1. A name is loaded once, never with other weights; already loaded from there is success.
2. What is served is proven by log-probabilities, which agree with transformers in float32.
3. Tokens, their ids and their log-probabilities come back alike, streaming or not.
4. What cannot be answered has its status and OpenAI's error object.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from router_process import load
from waiting import until

from rlwd.learner.candidate import Candidate
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.engine.port import Draw, prove
from rlwd.ops.servers.process import NO_TLS, free_port
from tests.ops.conftest import PROBE, Truth

Versions = tuple[Candidate, Candidate]
TOLERANCE = 1e-4
MESSAGES = [{"role": "user", "content": "Say something."}]


@pytest.fixture(params=["embedded", "router", pytest.param("vllm", marks=pytest.mark.vllm)])
def engine(request: pytest.FixtureRequest) -> Iterator[HttpEngine]:
    """An engine that holds no adapter yet."""
    names = {"embedded": "engine_server", "vllm": "vllm_server", "router": "router_server"}
    server = request.getfixturevalue(names[request.param])
    engine = HttpEngine(server.url)
    for name in engine.loaded():
        engine.unload(name)
    yield engine
    engine.close()


@pytest.fixture
def versions(request: pytest.FixtureRequest, versions: Versions) -> Versions:
    """Two versions that differ, of the kind that the engine takes."""
    if (
        getattr(request.node, "callspec", None)
        and "router" in request.node.callspec.params.values()
    ):
        versions = request.getfixturevalue("whole_versions")
    return versions


@pytest.fixture
def first(engine: HttpEngine, versions: Versions) -> Candidate:
    """A version that the engine has loaded."""
    load(engine, versions[0])
    return versions[0]


def truth_of(policy: Path, version: Candidate) -> Truth:
    """Return the reference for a version: of full weights the first is the base model itself."""
    return Truth(policy, None if version.path.name == "weights" else version.path)


def ask(engine: HttpEngine, path: str, **body: Any) -> httpx.Response:
    return httpx.post(engine.url + path, json=body, timeout=60, verify=NO_TLS)


def stream(engine: HttpEngine, path: str, **body: Any) -> list[dict[str, Any]]:
    """Return the events of a stream, which has to end with [DONE]."""
    lines = ask(engine, path, stream=True, **body).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_a_loaded_version_is_proven_by_its_probe(engine: HttpEngine, first: Candidate) -> None:
    """The server answers the probe as transformers does, and names the folder."""
    proof = prove(engine, first, TOLERANCE)
    assert proof.served, proof.reason
    assert proof.difference is not None
    assert proof.difference < TOLERANCE
    assert engine.loaded() == {first.version: str(first.path)}
    assert engine.healthy()


def test_a_version_that_is_not_loaded_is_not_proven(
    engine: HttpEngine, first: Candidate, versions: Versions
) -> None:
    """A proof of another name fails and says so."""
    proof = prove(engine, versions[1], TOLERANCE)
    assert not proof.served
    assert "is not loaded" in proof.reason


def test_other_bits_are_not_proven(
    engine: HttpEngine, first: Candidate, versions: Versions
) -> None:
    """The right name and folder with the wrong log-probabilities is not the version."""
    proof = prove(engine, msgspec.structs.replace(first, probe=versions[1].probe), TOLERANCE)
    assert not proof.served
    assert proof.difference is not None
    assert proof.difference > 0.1


def test_loading_again_is_success(engine: HttpEngine, first: Candidate) -> None:
    """Already loaded from the same folder is what was wanted."""
    engine.load(first.version, first.path)
    assert engine.loaded() == {first.version: str(first.path)}


def test_a_name_never_gets_other_weights(
    engine: HttpEngine, first: Candidate, versions: Versions
) -> None:
    """The same name from another folder is refused, and the first goes on."""
    with pytest.raises(ValueError, match="is loaded already, from"):
        engine.load(first.version, versions[1].path)
    assert prove(engine, first, TOLERANCE).served


def test_a_folder_without_adapter_is_refused(engine: HttpEngine, tmp_path: Path) -> None:
    """The error names the version and the status."""
    with pytest.raises(ValueError, match=r"policy@v000009-00000000 .* was refused: 404"):
        engine.load("policy@v000009-00000000", tmp_path / "nothing")
    assert engine.loaded() == {}


def test_unloading_makes_the_name_unknown(engine: HttpEngine, first: Candidate) -> None:
    """Requests for it get 404 with an error object; unloading again is success; it can return."""
    engine.unload(first.version)
    engine.unload(first.version)
    assert engine.loaded() == {}
    for path, extra in (
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/chat/completions", {"messages": MESSAGES}),
    ):
        answer = ask(engine, path, model=first.version, max_tokens=1, **extra)
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["code"], error["type"], error["param"]) == (404, "NotFoundError", "model")
    with pytest.raises(ValueError, match="was not scored: 404"):
        engine.logprobs(first.version, PROBE)
    engine.load(first.version, first.path)
    assert prove(engine, first, TOLERANCE).served


def test_tokenize_tells_what_chat_reads(engine: HttpEngine, first: Candidate) -> None:
    """Ids and count are those of the prompt, with or without an answer that is to be continued."""
    begun = [*MESSAGES, {"role": "assistant", "content": "So"}]
    goes_on = {"continue_final_message": True, "add_generation_prompt": False}
    lengths = list[int]()
    for asked in ({"messages": MESSAGES}, {"messages": begun}, {"messages": begun, **goes_on}):
        body: dict[str, Any] = {"model": first.version, **asked}
        counted = ask(engine, "/tokenize", **body).json()
        chat = ask(engine, "/v1/chat/completions", max_tokens=1, return_token_ids=True, **body)
        assert counted["tokens"] == chat.json()["prompt_token_ids"]
        assert counted["count"] == len(counted["tokens"])
        lengths.append(counted["count"])
    # Its end, the line end, and the marker of the next answer.
    assert lengths[1] - lengths[2] == 3
    assert ask(engine, "/tokenize", messages=[]).status_code == 400


def test_a_probe_is_answered_by_the_version_that_is_asked(
    engine: HttpEngine, first: Candidate
) -> None:
    """A chat gives text, calls and how it ended, the same for the same seed; unknown names are refused."""
    engine.load(first.version, first.path)
    answers = [engine.chat(first.version, "reply: invoice", max_tokens=6, seed=7) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].finish_reason in ("stop", "length")
    assert answers[0].calls == ()
    with pytest.raises(ValueError, match="answered nothing: 404"):
        engine.chat("policy@nobody", "reply: invoice", max_tokens=6, seed=7)


def test_a_replay_goes_on_from_tokens(engine: HttpEngine, first: Candidate) -> None:
    """As the same prompt was gone on from in a chat, by the same draw; what runs and waits is told."""
    body = {"messages": MESSAGES, "max_tokens": 6, "seed": 7, "temperature": 0.7}
    chat = ask(
        engine, "/v1/chat/completions", model=first.version, return_token_ids=True, **body
    ).json()
    draw = Draw(max_tokens=6, temperature=0.7, seed=7)
    answer = engine.complete(first.version, chat["prompt_token_ids"], draw)
    assert answer.text == chat["choices"][0]["message"]["content"]
    assert answer.tokens == chat["usage"]["completion_tokens"]
    assert answer.finish_reason == chat["choices"][0]["finish_reason"]
    # A row leaves the batch a moment after its answer.
    until(lambda: (load := engine.busy()) is not None and load.room(beside=0, ours=0), 60.0)
    with pytest.raises(ValueError, match="answered nothing: 404"):
        engine.complete("policy@nobody", PROBE, draw)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_the_drawn_distribution(
    engine: HttpEngine, first: Candidate, tiny_policy: Path, temperature: float
) -> None:
    """Sampled tokens carry processed log-probabilities, equal to transformers' in float32."""
    answer = ask(
        engine,
        "/v1/completions",
        model=first.version,
        prompt=list(PROBE),
        max_tokens=24,
        temperature=temperature,
        logprobs=0,
        return_token_ids=True,
    ).json()
    choice = answer["choices"][0]
    assert answer["model"] == first.version
    assert choice["prompt_token_ids"] == list(PROBE)
    whole = [*PROBE, *choice["token_ids"]]
    truth = truth_of(tiny_policy, first).logprobs(whole, temperature)[len(PROBE) - 1 :]
    assert choice["logprobs"]["token_logprobs"] == pytest.approx(truth, abs=TOLERANCE)
    assert answer["usage"]["completion_tokens"] == len(choice["token_ids"])
    if temperature == 1.0:
        scored = engine.logprobs(first.version, whole)[len(PROBE) - 1 :]
        assert scored == pytest.approx(truth, abs=TOLERANCE)


def test_a_version_is_proven_while_others_are_answered(
    engine: HttpEngine, first: Candidate
) -> None:
    """A probe amid a full house gets the same log-probabilities, and the house goes on."""
    with ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(
                ask, engine, "/v1/completions", model=first.version, prompt=[70, n], max_tokens=60
            )
            for n in range(24)
        ]
        proofs = [prove(engine, first, TOLERANCE) for _ in range(8)]
        assert [one.result().status_code for one in answers] == [200] * 24
    assert [one.reason for one in proofs] == [""] * 8
    assert engine.healthy()


def test_versions_share_a_batch_without_mixing(
    engine: HttpEngine,
    first: Candidate,
    versions: Versions,
    tiny_policy: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Requests for two versions, all at once, each get their own log-probabilities.

    So do those for the base on the embedded engine. On a CPU, vLLM 0.32 gives them the adapter in
    its last slot once all slots were filled; that is why nothing is ever routed to the base.
    """
    kind = request.node.callspec.params["engine"]
    if kind == "router":
        pytest.skip("its versions are in processes of their own: tests/loop/test_full_weights.py")
    second = versions[1]
    engine.load(second.version, second.path)
    beside = () if kind == "vllm" else ("base",)
    names = [first.version, second.version, *beside] * 4

    def generate(name: str) -> Any:
        body = {"prompt": list(PROBE[:9]), "max_tokens": 12, "ignore_eos": True, "logprobs": 0}
        return ask(engine, "/v1/completions", model=name, return_token_ids=True, **body).json()

    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(generate, names))
    truths = {
        first.version: Truth(tiny_policy, first.path),
        second.version: Truth(tiny_policy, second.path),
        "base": Truth(tiny_policy, None),
    }
    for name, answer in zip(names, answers, strict=True):
        choice = answer["choices"][0]
        told = truths[name].logprobs([*PROBE[:9], *choice["token_ids"]])[8:]
        assert choice["logprobs"]["token_logprobs"] == pytest.approx(told, abs=TOLERANCE)


def test_chat_streams_what_it_answers_whole(engine: HttpEngine, first: Candidate) -> None:
    """Greedy chat gives the same tokens, text and log-probabilities in chunks and at once."""
    body: dict[str, Any] = {
        "model": first.version,
        "messages": MESSAGES,
        "max_tokens": 16,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
    }
    whole = ask(engine, "/v1/chat/completions", **body).json()
    usage = {"include_usage": True}
    opening, *chunks, closing = stream(engine, "/v1/chat/completions", stream_options=usage, **body)
    choice = whole["choices"][0]
    parts = [chunk["choices"][0] for chunk in chunks]
    assert opening["choices"][0]["delta"]["role"] == "assistant"
    assert opening["prompt_token_ids"] == whole["prompt_token_ids"]
    assert [i for part in parts for i in part["token_ids"]] == choice["token_ids"]
    assert "".join(part["delta"]["content"] for part in parts) == choice["message"]["content"]
    told = [entry["logprob"] for part in parts for entry in part["logprobs"]["content"]]
    assert told == pytest.approx(
        [entry["logprob"] for entry in choice["logprobs"]["content"]], abs=TOLERANCE
    )
    assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["length"]
    assert closing["choices"] == []
    assert closing["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] == 16


def test_completions_stream_what_they_answer_whole(engine: HttpEngine, first: Candidate) -> None:
    """The first chunk's choice holds the prompt's ids, each chunk its own tokens'."""
    body: dict[str, Any] = {
        "model": first.version,
        "prompt": list(PROBE),
        "max_tokens": 8,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": 0,
        "return_token_ids": True,
    }
    choice = ask(engine, "/v1/completions", **body).json()["choices"][0]
    parts = [chunk["choices"][0] for chunk in stream(engine, "/v1/completions", **body)]
    assert parts[0]["prompt_token_ids"] == list(PROBE)
    assert all(part["prompt_token_ids"] is None for part in parts[1:])
    assert [i for part in parts for i in part["token_ids"]] == choice["token_ids"]
    assert "".join(part["text"] for part in parts) == choice["text"]
    told = [value for part in parts for value in part["logprobs"]["token_logprobs"]]
    assert told == pytest.approx(choice["logprobs"]["token_logprobs"], abs=TOLERANCE)


def test_a_stop_text_ends_the_answer(engine: HttpEngine, first: Candidate) -> None:
    """The text before it stays, streaming or not; the tokens that made it are told."""
    body: dict[str, Any] = {"model": first.version, "prompt": list(PROBE), "temperature": 0}
    body |= {"max_tokens": 30, "ignore_eos": True}
    text = ask(engine, "/v1/completions", **body).json()["choices"][0]["text"]
    stop = next(text[i : i + 2] for i in range(4, 20) if text[i : i + 2].isascii())
    wanted = text[: text.index(stop)]
    choice = ask(engine, "/v1/completions", stop=[stop], **body).json()["choices"][0]
    assert choice["text"] == wanted
    assert choice["finish_reason"] == "stop"
    parts = [event["choices"][0] for event in stream(engine, "/v1/completions", stop=stop, **body)]
    assert "".join(part["text"] for part in parts) == wanted
    assert parts[-1]["finish_reason"] == "stop"


def test_only_those_who_ask_get_tokens_and_logprobs(engine: HttpEngine, first: Candidate) -> None:
    """A plain request gets text alone."""
    body = {"model": first.version, "messages": MESSAGES, "max_tokens": 3}
    answer = ask(engine, "/v1/chat/completions", **body).json()
    choice = answer["choices"][0]
    assert choice["logprobs"] is choice["token_ids"] is answer["prompt_token_ids"] is None


def test_the_request_id_is_the_answers_id(engine: HttpEngine) -> None:
    """The header becomes the id, with the endpoint's prefix."""
    headers = {"X-Request-Id": "s1.7"}
    for path, prefix, extra in (
        ("/v1/completions", "cmpl", {"prompt": "x"}),
        ("/v1/chat/completions", "chatcmpl", {"messages": MESSAGES}),
    ):
        body = {"model": "base", "max_tokens": 1, **extra}
        answer = httpx.post(
            engine.url + path, json=body, headers=headers, timeout=60, verify=NO_TLS
        )
        assert answer.json()["id"] == f"{prefix}-s1.7"


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": [1] * 4000, "max_tokens": 1},
        {"prompt": [99999], "max_tokens": 1},
        {"prompt": [], "max_tokens": 1},
        {"prompt": "x", "max_tokens": 0},
        {"prompt": "x", "max_tokens": 100_000},
        {"prompt": "x", "temperature": -1},
        {"prompt": "x", "top_p": 0},
        {"prompt": "x", "logprobs": 99},
        {"max_tokens": 1},
    ],
    ids=lambda body: "-".join(body)[:40],
)
def test_a_bad_request_is_refused(engine: HttpEngine, body: dict[str, Any]) -> None:
    """Status 400 with an error object, and the engine goes on."""
    answer = ask(engine, "/v1/completions", model="base", **body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == 400
    assert engine.healthy()


def test_a_body_that_is_no_json_is_refused(engine: HttpEngine) -> None:
    """Status 400 with an error object, on every path that takes a body."""
    headers = {"Content-Type": "application/json"}
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/load_lora_adapter"):
        answer = httpx.post(engine.url + path, content=b"{bad", headers=headers, verify=NO_TLS)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == 400


def test_the_models_page_tells_base_from_adapters(engine: HttpEngine, first: Candidate) -> None:
    """The base has no parent and the longest length; an adapter has parent and folder."""
    base, adapter = httpx.get(f"{engine.url}/v1/models", verify=NO_TLS).json()["data"]
    assert base["parent"] is None
    assert base["max_model_len"] >= 1024
    assert (adapter["parent"], adapter["root"]) == (base["id"], str(first.path))


def test_an_engine_that_is_away_is_a_connection_error(versions: Versions) -> None:
    """Nothing listens there: not healthy, and every call says so as the callers expect."""
    engine = HttpEngine(f"http://127.0.0.1:{free_port()}", timeout_seconds=2)
    assert not engine.healthy()
    for call in (
        engine.loaded,
        lambda: engine.load(versions[0].version, versions[0].path),
        lambda: engine.unload(versions[0].version),
        lambda: engine.logprobs(versions[0].version, PROBE),
    ):
        with pytest.raises(ConnectionError):
            call()
    engine.close()
