"""Trace record: one answer as a tracking server shows it, with its tool calls and what it was worth.

Every id in it follows from the answer's own, so that writing a record twice writes it once.
"""

import hashlib
from typing import Any, Literal

import msgspec

SpanKind = Literal["AGENT", "CHAT_MODEL", "TOOL"]


class TraceSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a turn."""

    key: str
    """What it is within its trace; its id follows from it."""
    name: str
    """What is shown of it in the tree."""
    kind: SpanKind
    """The turn, the answer of the model, or a call of a tool."""
    inputs: Any
    """What went in."""
    outputs: Any
    """What came out."""
    start: float
    """Epoch seconds."""
    end: float
    """Epoch seconds."""
    problem: str = ""
    """What went wrong; empty where nothing did."""
    attributes: dict[str, Any] = {}
    """What else is known of it."""


class TraceAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody, or the reward, says of the answer."""

    key: str
    """What it is within its trace; its id follows from it."""
    name: str
    """By which it is searched."""
    value: str | float | bool
    """What it says."""
    human: bool
    """Whether a person said so."""
    source: str
    """Who: `person`, `agent`, `system`, `derived`, or the reward spec's version."""
    at: float
    """Epoch seconds."""
    rationale: str = ""
    """What was written with it."""
    span: str = ""
    """The key of the span that it is about; empty is the turn."""


class TraceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One turn."""

    trace_id: str
    """Its id over there."""
    generation_id: str
    """The answer's id: the client request id over there."""
    asked: str
    """The last thing that was said to the model, in short."""
    answered: str
    """What it said, or called, in short."""
    failed: bool
    """Whether the engine failed it."""
    spans: tuple[TraceSpan, ...]
    """The turn, and in it the answer and each call."""
    tags: dict[str, str]
    """Version, variant, segment, harness and what became of it."""
    metadata: dict[str, str]
    """Session, user, and the answer before."""
    assessments: tuple[TraceAssessment, ...]
    """Feedback in the order received, then the reward and its parts."""


def trace_id_of(experiment: str, generation_id: str) -> str:
    """Return the id of an answer's trace in an experiment: ids count in the whole of a server."""
    return f"tr-{_digest(f'{experiment}|{generation_id}', 16)}"


def part_id(trace_id: str, key: str) -> str:
    """Return the id of a span of a trace, or of an assessment: 16 hexadecimal digits."""
    return _digest(f"{trace_id}|{key}", 8)


def _digest(name: str, size: int) -> str:
    return hashlib.blake2b(name.encode(errors="replace"), digest_size=size).hexdigest()
