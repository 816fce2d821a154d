"""What the embedded engine does beyond the contract that it shares with vLLM."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from waiting import until

from rlwd.learner.candidate import Candidate
from rlwd.ops.engine.adapter_check import CONFIG, WEIGHTS
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.engine.port import prove
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import NO_TLS
from tests.ops.conftest import PROBE

Versions = tuple[Candidate, Candidate]
LONG: dict[str, Any] = {
    "model": "base",
    "prompt": list(PROBE),
    "max_tokens": 1500,
    "ignore_eos": True,
}
ATTEMPTS = 5
"""Answers of which one must be ended: on a busy machine one may be through before its client is heard to leave."""


@pytest.fixture
def engine(engine_server: EmbeddedServer) -> Iterator[HttpEngine]:
    """A client of the embedded engine."""
    engine = HttpEngine(engine_server.url)
    yield engine
    engine.close()


def metric(server: EmbeddedServer, name: str) -> float:
    """Return one series of the metrics page."""
    lines = httpx.get(f"{server.url}/metrics", verify=NO_TLS).text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"rlwd_engine_{name} ")))


@pytest.mark.parametrize("value", [np.nan, 3e38])
def test_an_adapter_that_is_not_finite_is_refused(
    engine: HttpEngine, versions: Versions, scratch_version: Path, value: float
) -> None:
    """Weights of NaN, or finite ones that overflow, never get a name, and others go on."""
    tensors = {k: np.full_like(v, value) for k, v in load_file(scratch_version / WEIGHTS).items()}
    save_file(tensors, scratch_version / WEIGHTS)
    engine.load(versions[1].version, versions[1].path)
    with pytest.raises(ValueError, match=r"was refused: 400 .*not finite"):
        engine.load("broken", scratch_version)
    assert "broken" not in engine.loaded()
    assert prove(engine, versions[1], 1e-4).served


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_dora": True}, "not a plain LoRA adapter"),
        ({"modules_to_save": ["lm_head"]}, "not a plain LoRA adapter"),
        ({"bias": "all"}, "not a plain LoRA adapter"),
    ],
)
def test_an_adapter_it_would_apply_wrongly_is_refused(
    engine: HttpEngine, scratch_version: Path, change: dict[str, Any], complaint: str
) -> None:
    """What is more than plain LoRA gets status 400 instead of half of it."""
    config = json.loads((scratch_version / CONFIG).read_text())
    (scratch_version / CONFIG).write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match=f"400 .*{complaint}"):
        engine.load("odd", scratch_version)


def test_an_adapter_of_another_model_is_refused(engine: HttpEngine, scratch_version: Path) -> None:
    """A module of the wrong size is named."""
    tensors = load_file(scratch_version / WEIGHTS)
    name = next(name for name in tensors if name.endswith("q_proj.lora_A.weight"))
    tensors[name] = np.zeros((8, 7), dtype=np.float32)
    save_file(tensors, scratch_version / WEIGHTS)
    with pytest.raises(
        ValueError, match=r"400 .*q_proj is \(128, 7\), the model's is \(128, 128\)"
    ):
        engine.load("other", scratch_version)


def test_a_file_that_is_cut_off_is_refused(engine: HttpEngine, scratch_version: Path) -> None:
    """The server says which file, and goes on."""
    (scratch_version / WEIGHTS).write_bytes((scratch_version / WEIGHTS).read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"400 .*{WEIGHTS}"):
        engine.load("cut", scratch_version)
    assert engine.healthy()


def test_a_folder_may_go_once_it_is_loaded(
    engine: HttpEngine, versions: Versions, scratch_version: Path
) -> None:
    """Files are read once: rubbish in them later changes nothing."""
    engine.load("copy", scratch_version)
    before = engine.logprobs("copy", PROBE)
    (scratch_version / WEIGHTS).write_bytes(b"rubbish")
    assert engine.logprobs("copy", PROBE) == before
    engine.unload("copy")


@pytest.mark.parametrize(
    "field",
    [{"n": 2}, {"logit_bias": {"5": 1}}, {"presence_penalty": 1}, {"min_p": 0.1}, {"echo": True}],
    ids=lambda field: next(iter(field)),
)
def test_what_it_does_not_do_is_refused_by_name(
    engine_server: EmbeddedServer, field: dict[str, Any]
) -> None:
    """A request is answered as asked or not at all."""
    body = {"model": "base", "prompt": "x", "max_tokens": 1, **field}
    answer = httpx.post(f"{engine_server.url}/v1/completions", json=body, verify=NO_TLS)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(field))


def ended(server: EmbeddedServer) -> dict[str, float]:
    """Return how many answers ended in which way."""
    lines = httpx.get(f"{server.url}/metrics", verify=NO_TLS).text.splitlines()
    told = [line for line in lines if line.startswith("rlwd_engine_requests_total")]
    return {line.split('"')[1]: float(line.split()[1]) for line in told}


def is_ended_for_one_who_leaves(server: EmbeddedServer, *, stream: bool) -> bool:
    """Leave while an answer is made; return whether it was ended, or was through before."""
    url, before = f"{server.url}/v1/completions", ended(server)
    if stream:
        with httpx.stream("POST", url, json={**LONG, "stream": True}, verify=NO_TLS) as answer:
            next(answer.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=LONG, timeout=0.2, verify=NO_TLS)
    until(lambda: sum(ended(server).values()) > sum(before.values()))
    until(lambda: metric(server, "requests_running") == 0)
    return ended(server).get("abort", 0.0) > before.get("abort", 0.0)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_client_that_goes_away_ends_its_row(engine_server: EmbeddedServer, stream: bool) -> None:
    """Streaming or not, nobody's tokens are made for nobody."""
    leaving = (is_ended_for_one_who_leaves(engine_server, stream=stream) for _ in range(ATTEMPTS))
    assert any(leaving)


def test_it_ends_cleanly_on_sigterm(tiny_policy: Path, tmp_path: Path) -> None:
    """A short answer under way is finished first, the exit status is 0."""
    server = EmbeddedServer(tiny_policy, tmp_path)
    server.start()
    statuses: list[int] = []
    body = {**LONG, "max_tokens": 400}

    def ask() -> None:
        statuses.append(
            httpx.post(f"{server.url}/v1/completions", json=body, verify=NO_TLS).status_code
        )

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: metric(server, "requests_running") == 1)
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(300) == 0
    asking.join()
    assert statuses == [200]
