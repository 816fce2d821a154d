"""Engine: a server of the base model that takes adapters while it runs, and its proof.

A name is loaded once and never with other weights; what a server really serves is what its
log-probabilities say.
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...learner.candidate import Candidate, Probe
from .adapter_check import check_adapter
from .engine_load import EngineLoad

__all__ = ["Engine", "Proof", "StillStarting", "check_adapter", "prove", "try_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCall:
    """A call of a tool, as an engine's answer has it."""

    name: str
    """Name of the tool."""
    arguments: str
    """As the model wrote them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """What a version answered."""

    text: str
    """What it said."""
    calls: tuple[EngineCall, ...]
    """Calls of tools."""
    finish_reason: str
    """Why it ended: stop, length, tool_calls."""
    tokens: int | None = None
    """Tokens that it wrote; None where the engine did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How an answer is drawn."""

    max_tokens: int
    """Longest answer."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    """Nucleus mass kept."""
    top_k: int = -1
    """Tokens kept; -1 keeps all."""
    min_p: float = 0.0
    """Least probability kept, relative to the likeliest token's."""
    seed: int = 0
    """Of the draw."""
    seconds: float = 30.0
    """An engine that takes longer is away."""


class StillStarting(Exception):
    """A server of this version is being started: ask again in a moment. Nobody is to blame."""


class Engine(Protocol):
    """What the daemon asks of a server. Loading is slow under load; no lock is held across it."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    def load(self, name: str, path: Path) -> None:
        """Return once the adapter answers by this name; already loaded from this path is success.

        Raises ValueError where the server refuses it or has the name from another path,
        StillStarting where it starts a server for it and this takes a while, ConnectionError or
        TimeoutError where the server is away.
        """
        ...

    def unload(self, name: str) -> None:
        """Return once the name is unknown; an unknown name is success."""
        ...

    def loaded(self) -> dict[str, str]:
        """Return adapter name to path, as the server says; the base model is left out."""
        ...

    def logprobs(self, name: str, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Return the log-probability of each token but the first, at temperature 1.

        Raises ValueError where the name is unknown or the answer is not finite.
        """
        ...

    def encode(self, name: str, text: str, *, chat: bool = False) -> tuple[int, ...]:
        """Return a text as the tokens that the server reads; with `chat`, as a person's message.

        Then it is the whole prompt, up to where the answer begins. Raises ValueError where the
        server does not tell.
        """
        ...

    def chat(
        self,
        name: str,
        message: str,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        max_tokens: int,
        seed: int,
    ) -> EngineAnswer:
        """Return what a version answers to a person's message, drawn at temperature 1.

        Raises ValueError where the server refuses the request, as one that takes no tools does.
        """
        ...

    def complete(self, name: str, prompt: Sequence[int], draw: Draw) -> EngineAnswer:
        """Return how a version goes on from tokens, tool calls unread in the text.

        Raises ValueError where the server refuses the request, ConnectionError or TimeoutError where it
        is away.
        """
        ...

    def busy(self) -> EngineLoad | None:
        """Return what the server is doing; None where it does not tell."""
        ...

    def healthy(self) -> bool:
        """True where the server answers."""
        ...

    def close(self) -> None:
        """Let go of the connections; the server runs on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether one server serves a version's true bits."""

    url: str
    """Address of the server that was asked."""
    served: bool
    """Whether its log-probabilities are those of the version."""
    difference: float | None
    """Largest absolute difference of a log-probability; None where none was measured."""
    reason: str
    """Why not; empty where served."""


def prove(engine: Engine, candidate: Candidate, tolerance: float, *, name: str = "") -> Proof:
    """Ask a server for the candidate's probe, under its own name or another, and compare.

    Measured against float32: 2.4e-6 on a float32 vLLM, about 5e-2 in bfloat16.
    Raises ConnectionError or TimeoutError where the server is away.
    """
    wanted, name = candidate.path.absolute(), name or candidate.version
    path = engine.loaded().get(name)
    if path is None:
        return _failed(engine, f"{name} is not loaded")
    if Path(path) != wanted:
        return _failed(engine, f"{name} is from {path}, not {wanted}")
    return compare(engine, name, candidate.probe, tolerance)


def compare(engine: Engine, name: str, probe: Probe, tolerance: float) -> Proof:
    """Ask a server for a probe under a name that it serves, and compare. Raises as `prove` does."""
    try:
        answered = engine.logprobs(name, probe.token_ids)
    except ValueError as error:
        return _failed(engine, str(error))
    if len(answered) != len(probe.logprobs):
        return _failed(engine, f"{len(answered)} log-probabilities, not {len(probe.logprobs)}")
    worst = max((abs(a - b) for a, b in zip(answered, probe.logprobs, strict=True)), default=0.0)
    if not all(map(math.isfinite, (*answered, *probe.logprobs))):
        return _failed(engine, "log-probabilities that are not finite")
    served = worst <= tolerance
    reason = "" if served else f"log-probabilities are off by {worst:.2g}, over {tolerance:.2g}"
    return Proof(url=engine.url, served=served, difference=worst, reason=reason)


def try_out(engine: Engine, candidate: Candidate, tolerance: float, *, by: str = "") -> Proof:
    """Prove a version under a name that nobody asks for; it is unloaded again.

    So no answer is given by weights that are not proven yet: a server that came back with another
    base model never has the version's own name. Raises ValueError where the server refuses to load
    it, StillStarting where it is on its way, ConnectionError or TimeoutError where it is away; a name that is left behind by that has the
    version's beginning, and goes with the replica's next cleaning. With `by` it has that one, so
    that who fills the replica leaves it alone.
    """
    name = f"{by}{candidate.version}~{secrets.token_hex(4)}"
    engine.load(name, candidate.path)
    try:
        return prove(engine, candidate, tolerance, name=name)
    finally:
        engine.unload(name)


def _failed(engine: Engine, reason: str) -> Proof:
    return Proof(url=engine.url, served=False, difference=None, reason=reason)
