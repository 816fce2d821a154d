"""Gateway on real engines: what the event says is what the model, by transformers, says of itself."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from adapter_by_hand import write_adapter
from door_talks import anthropic_client, openai_client
from forked import ForkServer
from forked_engine import ForkedEngine
from gateway_rig import LoopThread
from ledger_by_hand import generation, open_ledger
from real_clients import CLIENTS, RealClient
from talks_by_hand import held, links

from rlwd.daemon.gateway.app import GatewaySettings, serve_gateway
from rlwd.learner.candidate import version_name
from rlwd.learner.digests import adapter_digest
from rlwd.ops.flags.assignment import ServedVersion, Shares, hash_user
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document
from rlwd.ops.servers.process import NO_TLS
from rlwd.streams.events.event import GenerationEvent, decode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.log.ports import Partition

HELLO: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello there"}],
    "max_tokens": 12,
    "temperature": 0.8,
}


def reference(policy: Path, adapter: Path, event: Generation, temperature: float) -> list[float]:
    """Log-probability of each completion token by one plain forward pass."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base: Any = AutoModelForCausalLM.from_pretrained(policy, dtype="float32")
    model: Any = PeftModel.from_pretrained(base, str(adapter)).eval()
    prompt, completion = list(event.prompt_token_ids or ()), list(event.completion_token_ids or ())
    with torch.no_grad():
        logits_TV = model(torch.tensor([prompt + completion])).logits[0, :-1] / temperature
    logprobs_TV = logits_TV.log_softmax(-1)[len(prompt) - 1 :]
    chosen: list[float] = logprobs_TV.gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()
    return chosen


class Serving:
    """A gateway on a real engine and the embedded log."""

    def __init__(self, engine: str, folder: Path, adapters: list[tuple[ServedVersion, Path]]):
        self.engine, self.folder, self.adapters = engine, folder, adapters
        self.versions = [served for served, _ in adapters]
        self.flags, self.generation = folder / "flags.json", 0
        self.settings = GatewaySettings(
            port=0,
            engines=(engine,),
            flags=str(self.flags),
            spool=str(folder / "spool"),
            user_key="key",
        )
        self.source = EmbeddedSource(
            folder / "log.db", ["rlwd.generations"], resume=self.from_the_start
        )

    @staticmethod
    def from_the_start(partitions: object) -> dict[Partition, int]:
        return {}

    def sink(self) -> EmbeddedSink:
        return EmbeddedSink(self.folder / "log.db")

    def next_event(self) -> Generation:
        for _ in range(100):
            if records := self.source.poll(0.1, 1):
                event = decode_event(records[0].value)
                assert isinstance(event, GenerationEvent)
                return event.data
        raise AssertionError("no event came")

    def set_flags(self, champion: ServedVersion, candidate_share: int) -> None:
        self.generation += 1
        state = FlagState(
            policy="policy",
            generation=self.generation,
            salt="salt",
            champion=champion,
            previous=self.versions[0],
            anchor=self.versions[0],
            candidate=self.versions[1],
            shares=Shares(candidate=candidate_share),
        )
        write_flags(self.flags, to_document(state))


@pytest.fixture(scope="module")
def adapters(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[ServedVersion, Path]]:
    """Two versions that differ."""
    folder = tmp_path_factory.mktemp("adapters")
    return [write_adapter(tiny_policy, folder, number) for number in (1, 2)]


@pytest.fixture(scope="module", params=["embedded", pytest.param("vllm", marks=pytest.mark.vllm)])
def engine(
    request: pytest.FixtureRequest,
    tiny_policy: Path,
    adapters: list[tuple[ServedVersion, Path]],
    tmp_path_factory: pytest.TempPathFactory,
    forks: ForkServer,
) -> Iterator[str]:
    """A real engine with both versions loaded."""
    if request.param == "vllm":
        url = request.getfixturevalue("vllm_server").url
        load(url, adapters)
        yield url
        return
    with ForkedEngine(forks, tiny_policy, tmp_path_factory.mktemp("engine")) as server:
        load(server.url, adapters)
        yield server.url


def load(url: str, adapters: list[tuple[ServedVersion, Path]]) -> None:
    for served, path in adapters:
        body = {"lora_name": served.version, "lora_path": str(path)}
        response = httpx.post(f"{url}/v1/load_lora_adapter", json=body, timeout=60, verify=NO_TLS)
        assert response.status_code == 200, response.text


@pytest.fixture
def serving(
    engine: str, tmp_path: Path, adapters: list[tuple[ServedVersion, Path]]
) -> Iterator[Serving]:
    serving = Serving(engine, tmp_path, adapters)
    yield serving
    serving.source.close()


@pytest.fixture
def client(serving: Serving) -> Iterator[httpx.Client]:
    """A client of a gateway whose users are half candidate, half control."""
    serving.set_flags(serving.versions[0], candidate_share=5000)
    loop, gateway = LoopThread(), serve_gateway(serving.settings, serving.sink)
    url = loop.run(gateway.__aenter__())
    with httpx.Client(base_url=url, timeout=60, verify=NO_TLS) as client:
        yield client
    loop.run(gateway.__aexit__(None, None, None))
    loop.close()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_the_event_is_true_of_the_version_that_it_names(
    path: str, streamed: bool, client: httpx.Client, serving: Serving, tiny_policy: Path
) -> None:
    """For candidate and control, tokens and log-probabilities are those of the named version."""
    seen = set()
    for number in range(12):
        body: dict[str, Any] = {**HELLO, "user": f"u{number}", "stream": streamed}
        if path == "/v1/completions":
            body["prompt"] = "hello there"
            del body["messages"]
        response = client.post(path, json=body)
        assert response.status_code == 200, response.text
        event = serving.next_event()
        if event.variant in seen:
            continue
        seen.add(event.variant)
        version = response.headers["X-Rlwd-Version"].partition("; ")[0]
        (adapter,) = [p for served, p in serving.adapters if served.version == version]
        assert (event.version, event.digest) == (version, adapter_digest(adapter))
        assert adapter == serving.adapters[event.variant == "candidate"][1]
        assert event.logprobs is not None
        assert event.logprobs == pytest.approx(
            reference(tiny_policy, adapter, event, 0.8), abs=1e-3
        )
        assert event.user_hash == hash_user(f"u{number}", b"key")
        assert event.usage.completion_tokens == len(event.completion_token_ids or ()) > 0
        assert event.finish_reason in ("stop", "length")
        assert said(response, streamed) == event.text
        assert event.generation_id in response.text
        for hidden in (version, "token_ids", 'logprob":'):
            assert hidden not in response.text
        if len(seen) == 2:
            return
    raise AssertionError(f"only {seen} of candidate and control were met")


def said(response: httpx.Response, streamed: bool) -> str:
    """What the client read."""
    if streamed:
        lines = [line[6:] for line in response.text.splitlines() if line]
        assert lines[-1] == "[DONE]"
        pieces = [json.loads(line) for line in lines[:-1]]
    else:
        pieces = [response.json()]
    text = ""
    for choice in (choice for piece in pieces for choice in piece["choices"]):
        part = choice.get("message") or choice.get("delta") or choice
        text += part.get("content") or part.get("text") or ""
    return text


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("door", ["responses", "messages"])
def test_a_typed_door_says_what_the_model_wrote(
    door: str, streamed: bool, client: httpx.Client, serving: Serving
) -> None:
    """Two turns by the API's own SDK: text, usage, id and tokens are the event's, and a turn that was
    cut says so."""
    said = [{"role": "user", "content": "hello there"}]
    for turn in range(2):
        told = asked_by_sdk(door, client, said, streamed)
        event = serving.next_event()
        assert event.capture_problem == ""
        assert told == (
            event.generation_id,
            event.text,
            [event.usage.prompt_tokens, event.usage.completion_tokens],
            event.finish_reason == "length",
        )
        assert len(event.completion_token_ids or ()) == len(event.logprobs or ()) > 0
        assert event.earlier_answers == turn
        said += [{"role": "assistant", "content": event.text}, {"role": "user", "content": "more"}]


def asked_by_sdk(door: str, client: httpx.Client, said: list[Any], streamed: bool) -> Any:
    """Return id, text, usage, and whether the answer was cut."""
    told: Any
    if door == "responses":
        create = openai_client(client).responses.create
        asked: dict[str, Any] = {"model": "rlwd", "input": said, "max_output_tokens": 12}
        told = list(create(**asked, stream=True))[-1].response if streamed else create(**asked)
        text, cut = told.output_text, told.status == "incomplete"
    else:
        api = anthropic_client(client).messages
        asked = {"model": "rlwd", "messages": said, "max_tokens": 12}
        if streamed:
            with api.stream(**asked) as streaming:
                told = streaming.get_final_message()
        else:
            told = api.create(**asked)
        text = "".join(block.text for block in told.content)
        cut = told.stop_reason == "max_tokens"
    return told.id, text, [told.usage.input_tokens, told.usage.output_tokens], cut


def test_a_real_404_falls_back(client: httpx.Client, serving: Serving) -> None:
    """A champion that the real engine has not loaded is answered by the previous version."""
    digest = "ab" * 32
    missing = ServedVersion(version=version_name("policy", 9, digest), digest=digest)
    serving.set_flags(missing, candidate_share=0)
    event = None
    for _ in range(100):
        response = client.post("/v1/chat/completions", json=HELLO)
        assert response.status_code == 200
        event = serving.next_event()
        if event.flag_generation == 2:
            break
    assert event is not None
    assert event.fallback
    assert (
        event.version
        == serving.versions[0].version
        == response.headers["X-Rlwd-Version"].partition("; ")[0]
    )


def test_the_engines_own_refusal_reaches_the_client(client: httpx.Client) -> None:
    """A request that only the engine can judge comes back with its 400 and its words."""
    response = client.post("/v1/chat/completions", json={"model": "rlwd", "max_tokens": 4})
    assert response.status_code == 400
    assert "messages" in response.text
    response = client.post("/v1/chat/completions", json={**HELLO, "max_tokens": 10**6})
    assert response.status_code == 400


def test_leaving_a_stream_is_recorded(client: httpx.Client, serving: Serving) -> None:
    """A client that leaves after the first chunk leaves an abort with fewer tokens than asked."""
    body = {**HELLO, "max_tokens": 800, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200, response.read()
        lines = response.iter_lines()
        next(lines)
    event = serving.next_event()
    assert event.finish_reason in ("abort", "stop")
    assert len(event.completion_token_ids or ()) < 800
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("real", [one for one in CLIENTS if one.plain], ids=lambda real: real.name)
def test_a_real_client_and_the_event_agree(
    real: RealClient, client: httpx.Client, serving: Serving
) -> None:
    """OpenAI's clients, old and new, on real engines: text, end, usage and id are the event's."""
    asks = [one for one in real.asks() if not one.endswith("tool")] * 3
    transcripts = real.talk(str(client.base_url).rstrip("/"), asks)
    # Sessions lie in several partitions, so their events come in any order.
    events = {event.generation_id: event for event in (serving.next_event() for _ in asks)}
    for seen in transcripts:
        event = events.pop(seen.id or "")
        assert seen.text == event.text
        assert seen.finish == event.finish_reason
        assert event.finish_reason in ("stop", "length")
        assert event.capture_problem == ""
        assert len(event.logprobs or ()) == event.usage.completion_tokens > 0
        if seen.usage is not None:
            assert seen.usage == [event.usage.prompt_tokens, event.usage.completion_tokens]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_real_conversation_is_joined_turn_by_turn(
    streamed: bool, client: httpx.Client, serving: Serving, tmp_path: Path
) -> None:
    """With nothing but the person named: each turn goes on from the one before, by its tokens or,
    where sampled tokens read back as others, by what it said; and its prompt comes back as it was."""
    system = "You answer mail for a small shop that sells tea, and you are always brief and kind."
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "hello there"}]
    ledger = open_ledger(tmp_path / "rlwd.db")
    events = list[Generation]()
    for number in range(4):
        body = {**HELLO, "messages": messages, "user": "ann", "stream": streamed}
        response = client.post("/v1/chat/completions", json=body)
        events.append(serving.next_event())
        messages += [
            {"role": "assistant", "content": said(response, streamed)},
            {"role": "user", "content": f"and then {number}?"},
        ]
    for number, event in enumerate(events):
        values = {name: getattr(event, name) for name in event.__struct_fields__}
        ledger.take(generation(values.pop("generation_id"), float(number), **values))
    found = links(ledger)
    for before, event in pairwise(events):
        parent, rule, history = found[event.generation_id]
        if event.last_answer:
            assert (parent, history) == (before.generation_id, "")
            assert rule in ("tokens", "answer")
        assert held(ledger, event.generation_id) == event
    shared = ledger.ask("SELECT COUNT(*) FROM contents WHERE base IS NOT NULL")[0]
    assert shared == sum(found[event.generation_id][0] is not None for event in events) > 0
    ledger.store.close()
