"""Findings: all that `rlwd init` looked for, and the config and the next steps that follow."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bounds import check_values
from ..sections import StreamSettings
from .config_file import config_text
from .look_around import (
    ENGINES,
    KAFKA,
    MLFLOW,
    LookedFor,
    free_ports,
    look_for_engine,
    look_for_kafka,
    look_for_mlflow,
    look_for_model,
)

GATEWAY_PORT, PAGES_PORT = 8080, 8090
ENGINE_KEY = "RLWD_ENGINE_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is here and what is not; what was named by hand is written whether it answers or not."""

    engines: tuple[LookedFor, ...]
    """Every address that was asked for an engine."""
    kafka: tuple[LookedFor, ...]
    """Likewise for a broker."""
    mlflow: LookedFor
    """Likewise for MLflow."""
    model: LookedFor
    """The base model's folder."""
    named: frozenset[str]
    """Of engine, kafka and mlflow those whose addresses were given by hand."""
    ports: tuple[int, int]
    """Ports for the gateway and for the daemon's pages, free at this moment."""

    def chosen(self, policy: str) -> dict[str, Any]:
        """Return what the config says other than by default."""
        others = self.others()
        engines = [one for one in self._taken("engine", self.engines) if one not in others]
        chosen: dict[str, Any] = {
            "policy": policy,
            "state": "state",
            "learner.model": self.model.address,
        }
        if engines:
            chosen["engine.urls"] = chosen["gateway.engines"] = engines
        if any(one.asks_for_key for one in self.engines):
            chosen["engine.token"] = chosen["gateway.engine_token"] = f"${ENGINE_KEY}"
        if brokers := self._taken("kafka", self.kafka):
            chosen["stream.kind"] = "kafka"
            chosen["stream.kafka.bootstrap_servers"] = brokers
        if mlflow := self._taken("mlflow", (self.mlflow,)):
            chosen["mlflow.tracking_uri"] = mlflow[0]
        if self.ports != (GATEWAY_PORT, PAGES_PORT):
            chosen["gateway.port"], chosen["http.port"] = self.ports
        return chosen

    def others(self) -> list[str]:
        """Return the engines at the usual places that serve another model than the first: not replicas.

        Whose key is asked for is not known to be one. What was named by hand is what was meant.
        """
        roots = [one.root for one in self.engines if one.root]
        # The engine of a model that is here comes before one whose model is not.
        lead = self.model.address if self.model.address in roots else next(iter(roots), "")
        found = [one.address for one in self.engines if one.root and one.root != lead]
        return [] if "engine" in self.named else found

    def text(self, policy: str) -> str:
        """Return the config."""
        return config_text(self.chosen(policy))

    def lines(self) -> Iterator[str]:
        """Yield one line for each thing that was looked for."""
        others = self.others()
        yield from _lines("engine", [one for one in self.engines if one.address not in others])
        for one in self.engines:
            if one.address in others:
                yield f"left out   engine: {one.address}, {one.says}: another model; --engine takes it"
        yield from _lines("kafka", self.kafka)
        yield from _lines("mlflow", (self.mlflow,))
        yield from _lines("model", (self.model,))
        for what, usual, port in zip(
            ("gateway", "pages"), (GATEWAY_PORT, PAGES_PORT), self.ports, strict=True
        ):
            if port != usual:
                yield f"taken      {what}: port {usual}; the config says {port}"

    def steps(self) -> Iterator[str]:
        """Yield what is to be done before the loop can run."""
        if not self.model.there:
            yield (
                "put the base model (a Hugging Face folder, the same that the engines serve) into"
                f" {self.model.address}, or correct learner.model"
            )
        if not any(one.there for one in self.engines):
            yield "start an engine (docs/vllm.md, or `rlwd engine --model FOLDER --port 8000`)"
        if any(one.asks_for_key and not one.names for one in self.engines):
            yield (
                f"put the engines' key into the environment variable {ENGINE_KEY}; `rlwd init` asks"
                " them with it"
            )
        if any("does that listener speak" in one.says for one in self.kafka):
            yield "where the broker wants TLS or a password: [stream.kafka.security] (docs/kafka.md)"
        for broker in self.kafka:
            missing = sorted(_topics() - set(broker.names)) if broker.there else []
            if missing:
                yield f"create the topics {', '.join(missing)} at {broker.address} (docs/kafka.md)"
                break

    def _taken(self, what: str, places: Sequence[LookedFor]) -> list[str]:
        return [one.address for one in places if one.there or what in self.named]


def look_around(
    folder: Path,
    *,
    model: Path | None = None,
    engines: Sequence[str] | None = None,
    kafka: Sequence[str] | None = None,
    mlflow: str = "",
) -> Findings:
    """Ask at the places that were named, else at the usual ones; nothing is changed anywhere.

    Raises ValueError where what was named is no address, before anybody is asked.
    """
    # Where every OpenAI client has it: an engine's address ends with /v1 there, and not here.
    engines = list(dict.fromkeys(re.sub(r"(/v1)?/*$", "", one) for one in engines or ()))
    check_values(
        {
            "engine": {"urls": engines},
            "stream": {"kafka": {"bootstrap_servers": list(kafka or ())}},
            "mlflow": {"tracking_uri": mlflow},
        }
    )
    key = os.environ.get(ENGINE_KEY, "")
    found = tuple(look_for_engine(url, key) for url in engines or ENGINES)
    gateway = next(free_ports(GATEWAY_PORT))
    by_hand = {"engine": engines, "kafka": kafka, "mlflow": mlflow}
    return Findings(
        engines=found,
        kafka=tuple(look_for_kafka(server) for server in kafka or KAFKA),
        mlflow=look_for_mlflow(mlflow or MLFLOW[0]),
        model=look_for_model(folder, model, [one.root for one in found if one.root]),
        named=frozenset(name for name, given in by_hand.items() if given),
        ports=(gateway, next(free_ports(PAGES_PORT, frozenset({gateway})))),
    )


def _topics() -> set[str]:
    stream = StreamSettings()
    return {stream.generations, stream.feedback, stream.dead_letters}


def _lines(what: str, places: Sequence[LookedFor]) -> Iterator[str]:
    there = [one for one in places if one.there]
    for one in there:
        yield f"found      {what}: {one.address}" + (f", {one.says}" if one.says else "")
    for one in places:
        if not one.there and one.says:
            yield f"not found  {what}: {one.address}: {one.says}"
    silent = [one.address for one in places if not one.there and not one.says]
    if silent and not there:
        yield f"not found  {what}: looked at {', '.join(silent)}"
