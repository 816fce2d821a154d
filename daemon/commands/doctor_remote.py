"""Doctor, around this machine: log, engines, who is in charge, gateway, MLflow."""

import importlib.util
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from kafka.admin import KafkaAdminClient

from ...ops.engine.http_engine import HttpEngine, error_of
from ...streams.log.kafka_topics import connecting
from ...streams.state.lease import read_holder
from ..config import Config
from .doctor_finding import Finding, fail, ok, warn
from .status import state_view

SECONDS = 5.0
PEAKED = -3.0
"""A likeliest token above this log-probability is one that a temperature must change."""
CHANGED = 0.02


def check_around(config: Config) -> Iterator[Finding]:
    """Look at what the config names elsewhere."""
    yield from _kafka(config) if config.stream.kind == "kafka" else _embedded_log(config)
    for url in config.engine.urls:
        yield from check_engine(url, config)
    yield from _in_charge(config)
    yield _gateway(config)
    yield _mlflow(config)


def _embedded_log(config: Config) -> Iterator[Finding]:
    path = config.log_path
    if not path.exists():
        yield ok("log", f"{path} is not there yet; gateway or daemon make it")
        return
    try:
        view = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            topics = dict(
                view.execute("SELECT topic, SUM(end_offset) FROM lane GROUP BY topic").fetchall()
            )
        finally:
            view.close()
    except sqlite3.Error as problem:
        yield fail("log", f"{path}: {problem}", "restore it, or move it away to begin anew")
        return
    counts = ", ".join(f"{topic} {count}" for topic, count in sorted(topics.items()))
    yield ok("log", f"{path}: {counts or 'no topics yet'}")


def _kafka(config: Config) -> Iterator[Finding]:
    stream = config.stream
    if importlib.util.find_spec("crc32c") is None:
        yield warn(
            "log", "crc32c is not installed: reading is 75 times slower", "pip install crc32c"
        )
    try:
        with connecting(stream.kafka):
            admin = KafkaAdminClient(**stream.kafka.connection())
            try:
                known = set(admin.list_topics())
            finally:
                admin.close()
    except (ConnectionError, ValueError) as problem:
        yield fail("log", str(problem), "start the broker, or correct stream.kafka")
        return
    wanted = {stream.generations, stream.feedback, stream.dead_letters}
    servers = ", ".join(stream.kafka.bootstrap_servers)
    yield ok("log", f"kafka answers at {servers}")
    for topic in sorted(wanted - known):
        yield fail("log", f"topic {topic} is missing", "create it; its partitions are for good")
    if wanted <= known:
        yield ok("log", f"topics {', '.join(sorted(wanted))} are there")


def check_engine(url: str, config: Config) -> Iterator[Finding]:
    """Look at one replica: does it answer, may it take adapters, what are its log-probabilities?"""
    what = f"engine {url}"
    engine = HttpEngine(url, token=config.engine.token, timeout_seconds=SECONDS)
    headers = {"Authorization": f"Bearer {config.engine.token}"} if config.engine.token else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=SECONDS, trust_env=False) as http:
            if not engine.healthy():
                yield fail(what, "is not healthy", "start it: `rlwd engine`, or vLLM")
                return
            models = http.get("/v1/models")
            if models.status_code == 401:
                yield fail(what, "asks for a key", "set engine.token")
                return
            loaded = sorted(engine.loaded())
            yield ok(what, f"healthy; adapters loaded: {', '.join(loaded) or 'none'}")
            yield _takes_adapters(what, http)
            yield _processed(what, http, _base_model(models.json()))
    except (httpx.HTTPError, OSError, KeyError, ValueError) as problem:
        yield fail(what, f"{type(problem).__name__}: {problem}", "see its log")
    finally:
        engine.close()


def _base_model(models: dict[str, Any]) -> str:
    return next(str(one["id"]) for one in models["data"] if not one.get("parent"))


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


def _in_charge(config: Config) -> Iterator[Finding]:
    path = config.state_database
    if isinstance(path, Path) and not path.exists():
        yield warn("daemon", "was never started with this state", "`rlwd run`")
        return
    try:
        with state_view(path) as view:
            holder = read_holder(view, config.policy, time.time())
    except sqlite3.Error as problem:
        yield fail("daemon", f"{path}: {problem}", "restore the state database")
        return
    except (ConnectionError, ValueError) as problem:
        yield fail("daemon", str(problem), "start the database's server, and then `rlwd run`")
        return
    if holder is None or not holder.alive:
        yield warn("daemon", "nobody is in charge", "`rlwd run`")
        return
    yield ok("daemon", f"process {holder.pid} on {holder.host}, epoch {holder.epoch}")
    yield _ready("daemon", f"http://{config.http.host}:{config.http.port}", "problems")


def _gateway(config: Config) -> Finding:
    return _ready("gateway", f"http://{config.gateway.host}:{config.gateway.port}", "reasons")


def _ready(what: str, url: str, reasons: str) -> Finding:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=SECONDS, trust_env=False)
        document = answer.json()
    except (httpx.HTTPError, ValueError):
        return warn(
            what, f"does not answer at {url}", f"`rlwd {'run' if what == 'daemon' else what}`"
        )
    if answer.status_code != 200:
        return warn(what, f"is not ready: {document.get(reasons)}", "see its log")
    return ok(what, f"ready at {url}")


def _mlflow(config: Config) -> Finding:
    uri = config.mlflow.tracking_uri
    if not uri:
        return ok("mlflow", "off: mlflow.tracking_uri is empty")
    remedy = "start it; the loop does not wait for it"
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=SECONDS, trust_env=False)
    except httpx.HTTPError as problem:
        return warn("mlflow", f"{uri}: {problem}", remedy)
    if answer.status_code != 200:
        return warn("mlflow", f"{uri} says {answer.status_code}", remedy)
    return ok("mlflow", f"answers at {uri}")
