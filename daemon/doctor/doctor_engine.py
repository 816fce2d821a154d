"""Doctor, an engine: does it answer, may it take adapters, what are its log-probabilities?"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx

from ...ops.engine.http_engine import HttpEngine, error_of
from ...ops.engine.port import StillStarting, prove, try_out
from ...ops.rollout import candidates_table
from ...streams.authorities import authorities
from ..config import Config
from ..store import state_view
from .doctor_finding import Finding, fail, ok, warn

SECONDS = 5.0
PEAKED = -3.0
"""A likeliest token above this log-probability is one that a temperature must change."""
CHANGED = 0.02


def check_engine(url: str, config: Config) -> Iterator[Finding]:
    """Look at one replica: does it answer, may it take adapters, what are its log-probabilities?"""
    what = f"engine {url}"
    engine = HttpEngine(
        url, token=config.engine.token, timeout_seconds=SECONDS, load_seconds=SECONDS
    )
    headers = {"Authorization": f"Bearer {config.engine.token}"} if config.engine.token else {}
    try:
        with httpx.Client(
            base_url=url, headers=headers, timeout=SECONDS, verify=authorities(), trust_env=False
        ) as http:
            if not engine.healthy():
                yield fail(
                    what, "is not healthy", "start it: vLLM, `rlwd engine`, or `rlwd router`"
                )
                return
            models = http.get("/v1/models")
            if models.status_code == 401:
                yield fail(what, "asks for a key", "set engine.token")
                return
            loaded = sorted(engine.loaded())
            yield ok(what, f"healthy; adapters loaded: {', '.join(loaded) or 'none'}")
            yield _takes_adapters(what, http)
            yield _processed(what, http, _base_model(models.json()))
            yield from _serves_base(what, engine, loaded, config)
    except (httpx.HTTPError, OSError, KeyError, ValueError) as problem:
        yield fail(what, f"{type(problem).__name__}: {problem}", "see its log")
    finally:
        engine.close()


def _serves_base(
    what: str, engine: HttpEngine, loaded: list[str], config: Config
) -> Iterator[Finding]:
    """Prove v0, which is the base model; where it is not served, under a name of the moment."""
    try:
        with state_view(config.state_database) as view:
            v0 = candidates_table.find_anchor(view, config.policy)
    except (ValueError, ConnectionError, sqlite3.Error):
        return  # Nothing was made yet, or the daemon's own finding says what is wrong.
    if v0 is None or not v0.path.is_dir():
        return
    tolerance = config.gate.probe_tolerance
    try:
        if v0.version in loaded:
            proof = prove(engine, v0, tolerance)
        else:
            proof = try_out(engine, v0, tolerance, by="doctor:")
    except StillStarting as told:
        yield warn(what, f"does not serve v0 yet: {told}", "ask again in a minute")
        return
    except ValueError as refused:
        yield fail(what, f"refuses v0: {refused}", "start it with what its words ask for")
        return
    if proof.served:
        yield ok(what, "serves the base model that is trained on")
        return
    yield fail(
        what,
        f"does not serve the base model that is trained on: v0: {proof.reason}",
        "start it with the learner's model, not quantised",
    )


def _base_model(models: dict[str, Any]) -> str:
    for one in models["data"]:
        if not one.get("parent"):
            return str(one["id"])
    raise ValueError("/v1/models names no base model, only adapters")


def _takes_adapters(what: str, http: httpx.Client) -> Finding:
    # Without a name nothing can be loaded: 400 is the route's own refusal, 404 that of no route.
    if http.post("/v1/load_lora_adapter", json={}).status_code in (404, 405):
        return fail(
            what,
            "takes no adapters while it runs",
            "start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1",
        )
    return ok(what, "takes adapters while it runs")


def _processed(what: str, http: httpx.Client, model: str) -> Finding:
    """Ask at two temperatures: only processed log-probabilities change with it."""
    likeliest = []
    for temperature in (1.0, 2.0):  # vLLM takes no more than 2.
        body = {"model": model, "prompt": "a", "max_tokens": 1, "logprobs": 1}
        answer = http.post("/v1/completions", json={**body, "temperature": temperature})
        if answer.status_code != 200:
            return warn(what, f"gave no log-probabilities: {error_of(answer)}", "see its log")
        top = answer.json()["choices"][0]["logprobs"]["top_logprobs"][0]
        likeliest.append(max(top.values()))
    if abs(likeliest[0] - likeliest[1]) > CHANGED:
        return ok(what, "log-probabilities are processed")
    remedy = "start vLLM with --logprobs-mode processed_logprobs"
    if likeliest[0] > PEAKED:
        return fail(what, "log-probabilities are raw", remedy)
    return warn(what, "it does not show whether log-probabilities are processed", remedy)
