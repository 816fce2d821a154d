"""Otel genai, OpenTelemetry of models: spans of model calls with their messages, and evaluation results.

Read is OTLP's JSON, a line an export of spans or of log records, as the collector's file exporter
writes it, and the spans that SDKs print. Messages must have been recorded (`gen_ai.input.messages`,
`gen_ai.output.messages`, as attributes or in `gen_ai.client.inference.operation.details`).
`gen_ai.evaluation.result` is an outcome by its name, or a rating where it is a thumb's.

The conventions are in development (read: 1.37 to 1.41); messages as events of 1.36 are not read.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event, GenerationEvent
from ..events.generation import Generation, Sampling
from ..events.limits import read_json
from ..traces.messages import Message, message_of, messages_of, text_of
from ..traces.offered_tools import offered_tools
from ..traces.otlp import OtlpRecord, otlp_records
from ..traces.recorded import OnError
from ..traces.remainder import NAME, restored
from ..traces.scores import THUMBS, actor_of, score_signal
from ..traces.trace_reading import BEGINNING, TraceReading, mapping, text, usage_of

EVALUATION = "gen_ai.evaluation.result"
DETAILS = "gen_ai.client.inference.operation.details"
_CALLS = frozenset(("chat", "text_completion", "generate_content"))


def read_otel_genai(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of an export of traces; no tokens were recorded by others than us."""
    reading = TraceReading(path, "otel-genai", on_error)
    records: list[tuple[int, OtlpRecord]] = []
    for document in reading.documents():
        with reading.taking(document.number):
            records += [(document.number, one) for one in otlp_records(document.value)]
    spans = {(one.trace, one.span): one for _, one in records if one.is_span}
    for _, one in records:
        if one.name == DETAILS and (one.trace, one.span) in spans:
            spans[one.trace, one.span].attributes.update(one.attributes)
    take_records(reading, records)
    return reading.events()


def take_records(reading: TraceReading, records: list[tuple[int, OtlpRecord]]) -> None:
    """Add the answers, earliest first, and then what was found of them."""
    found: dict[str, Generation] = {}
    last: dict[str, str] = {}
    for number, one in sorted(records, key=lambda each: each[1].at):
        if one.is_span and text(one.attributes.get("gen_ai.operation.name")) in _CALLS:
            with reading.taking(number):
                generation = answer_of_span(reading, one, last)
                last[generation.session_id] = generation.generation_id
                found[f"{one.trace}.{one.span}"] = generation
                if response := text(one.attributes.get("gen_ai.response.id")):
                    found[response] = generation
    for number, one in records:
        if one.name == EVALUATION:
            with reading.taking(number):
                _evaluation(reading, one, found)


def answer_of_span(reading: TraceReading, span: OtlpRecord, last: Mapping[str, str]) -> Generation:
    """Add the answer of one span of a model call."""
    told = span.attributes
    session = text(told.get("gen_ai.conversation.id")) or span.trace
    before = messages_of(_structured(told.get("gen_ai.input.messages")), "gen_ai.input.messages")
    if system := text_of(_structured(told.get("gen_ai.system_instructions"))):
        before.insert(0, Message("system", system))
    outputs = _structured(told.get("gen_ai.output.messages"))
    if not isinstance(outputs, list) or not outputs:
        raise ValueError("gen_ai.output.messages: were not recorded")
    reasons = told.get("gen_ai.response.finish_reasons")
    finish = mapping(outputs[0]).get("finish_reason")
    if not finish and isinstance(reasons, list) and reasons:
        finish = reasons[0]
    seconds = max(0.0, (span.end - span.at).total_seconds()) if span.end else 0.0
    generation = reading.answer(
        f"{span.trace}.{span.span}",
        session,
        before,
        message_of(outputs[0], "gen_ai.output.messages[0]")[-1],
        span.at,
        person=text(told.get("user.id")) or text(told.get("enduser.id")),
        parent_id=last.get(session),
        policy=text(told.get("gen_ai.response.model"))
        or text(told.get("gen_ai.request.model"))
        or "policy",
        harness=text(told.get("gen_ai.agent.version")),
        tools=offered_tools(_structured(told.get("gen_ai.tool.definitions"))),
        sampling=_sampling(told),
        usage=usage_of(
            told.get("gen_ai.usage.input_tokens"),
            told.get("gen_ai.usage.output_tokens"),
            told.get("gen_ai.usage.cache_read.input_tokens"),
        ),
        latency_seconds=seconds,
        finish="error" if told.get("error.type") else finish,
    )
    event = reading.recording.events[-1]
    assert isinstance(event, GenerationEvent)
    if NAME in told:
        event, feedback = restored(event, read_json(text(told[NAME])))
        reading.recording.events[-1:] = [event, *feedback]
        return event.data
    return generation


def _evaluation(reading: TraceReading, one: OtlpRecord, found: Mapping[str, Generation]) -> None:
    told = one.attributes
    # What we wrote of a reward is what a spec made of feedback, which stands beside it.
    if told.get("rlwd.reward"):
        return
    about = text(told.get("gen_ai.response.id"))
    generation = found.get(about) or found.get(f"{one.trace}.{one.span}")
    if generation is None:
        raise ValueError(f"{EVALUATION}: is of no model call in this file")
    name = text(told.get("gen_ai.evaluation.name"))
    value = told.get("gen_ai.evaluation.score.value", told.get("gen_ai.evaluation.score.label"))
    by_person = name.lower() in THUMBS
    signal = score_signal(name, value, "gen_ai.evaluation.score", by_person=by_person)
    at = max(one.at, BEGINNING) if one.timed else _after(reading, generation)
    reading.feedback(name, signal, generation, at, actor_of(by_person))


def _after(reading: TraceReading, generation: Generation) -> datetime:
    times = (
        event.time
        for event in reading.recording.events
        if isinstance(event, GenerationEvent) and event.data is generation
    )
    return next(times, BEGINNING) + timedelta(seconds=1)


def _structured(value: Any) -> Any:
    """Return an attribute as it was meant: where there are no structures, they are written as JSON."""
    return read_json(value) if isinstance(value, str) and value[:1] in "[{" else value


def _sampling(told: Mapping[str, Any]) -> Sampling:
    def number(name: str, otherwise: float) -> float:
        value = told.get(f"gen_ai.request.{name}")
        told_one = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        return float(value) if value is not None and told_one else otherwise

    most = told.get("gen_ai.request.max_tokens")
    return Sampling(
        temperature=number("temperature", 1.0),
        top_p=number("top_p", 1.0),
        top_k=int(number("top_k", -1)),
        max_tokens=most if type(most) is int else None,
        constrained=any(number(f"{name}_penalty", 0.0) for name in ("frequency", "presence")),
    )
