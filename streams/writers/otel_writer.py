"""OTel writer: answers as OpenTelemetry GenAI spans, rewards as evaluation results.

Two documents a session, as the collector's file exporter writes them: its spans, and the
`gen_ai.evaluation.result` events of rewards and their parts. What the conventions have no attribute
for stands in the attribute `rlwd`, as JSON, so that reading it again gives the same events.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from ..events.event import GenerationEvent
from ..events.generation import Generation
from ..events.limits import read_json
from ..readers.otel_genai import EVALUATION, answer_of_span
from ..traces.otlp import otlp_records
from ..traces.remainder import NAME, remainder_of
from ..traces.trace_reading import TraceReading
from .exported import ExportedAnswer, ExportedSession

_FINISHES = {"tool_calls": "tool_call"}
"""Ends as the conventions name them."""
_RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "rlwd"}}]}
_SCOPE = {"name": NAME}


def otlp_documents(session: ExportedSession) -> Iterator[dict[str, Any]]:
    """Yield the spans of a session, and then the evaluation results, where there are any."""
    before = _histories(session)
    spans = [_span(answer, before[answer.id]) for answer in session.answers]
    _add_remainders(spans, session)
    yield {
        "resourceSpans": [
            {"resource": _RESOURCE, "scopeSpans": [{"scope": _SCOPE, "spans": spans}]}
        ]
    }
    logs = [record for answer in session.answers for record in _evaluations(answer)]
    if logs:
        yield {
            "resourceLogs": [
                {"resource": _RESOURCE, "scopeLogs": [{"scope": _SCOPE, "logRecords": logs}]}
            ]
        }


def _histories(session: ExportedSession) -> dict[str, list[dict[str, Any]]]:
    """Return what was said before each answer, as messages."""
    found: dict[str, list[dict[str, Any]]] = {}
    for way in session.ways():
        said: list[dict[str, Any]] = []
        for answer in way:
            data = answer.event.data
            said = [*said, *map(_input, data.input)]
            found.setdefault(answer.id, said)
            said = [*said, _output(data)]
    return found


def _input(message: Any) -> dict[str, Any]:
    if message.role == "tool":
        part = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}
    else:
        part = {"type": "text", "content": message.text}
    named = {"name": message.name} if message.name else {}
    return {"role": message.role, "parts": [part], **named}


def _output(data: Generation) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if data.reasoning:
        parts.append({"type": "reasoning", "content": data.reasoning})
    if data.text or not data.tool_calls:
        parts.append({"type": "text", "content": data.text})
    for call in data.tool_calls:
        try:
            arguments = read_json(call.arguments)
        except ValueError:
            arguments = call.arguments
        parts.append(
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments}
        )
    finish = _FINISHES.get(data.finish_reason, data.finish_reason)
    return {"role": "assistant", "parts": parts, "finish_reason": finish}


def _span(answer: ExportedAnswer, before: list[dict[str, Any]]) -> dict[str, Any]:
    event, data = answer.event, answer.event.data
    model = data.version or data.policy
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": NAME,
        "gen_ai.conversation.id": data.session_id,
        "gen_ai.request.model": data.policy,
        "gen_ai.response.model": model,
        "gen_ai.response.id": data.generation_id,
        "gen_ai.request.temperature": float(data.sampling.temperature),
        "gen_ai.request.top_p": float(data.sampling.top_p),
        "gen_ai.response.finish_reasons": [_FINISHES.get(data.finish_reason, data.finish_reason)],
        "gen_ai.usage.input_tokens": data.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": data.usage.completion_tokens,
        "gen_ai.input.messages": orjson.dumps(before).decode(),
        "gen_ai.output.messages": orjson.dumps([_output(data)]).decode(),
    }
    if data.sampling.max_tokens is not None:
        told["gen_ai.request.max_tokens"] = data.sampling.max_tokens
    if data.usage.cached_prompt_tokens is not None:
        told["gen_ai.usage.cache_read.input_tokens"] = data.usage.cached_prompt_tokens
    if data.harness:
        told["gen_ai.agent.version"] = data.harness
    if data.finish_reason == "error" or data.status >= 500:
        told["error.type"] = str(data.status)
    end = event.time + timedelta(seconds=min(data.latency_seconds, 1e9))
    return {
        "traceId": _trace(data),
        "spanId": _digest(data.generation_id, 8),
        "name": f"chat {model}",
        "kind": 3,
        "startTimeUnixNano": _nanoseconds(event.time),
        "endTimeUnixNano": _nanoseconds(end),
        "attributes": _attributes(told),
    }


def _evaluations(answer: ExportedAnswer) -> Iterator[dict[str, Any]]:
    """Yield what an answer's reward and its parts are, as evaluation results."""
    reward = answer.reward
    if reward is None:
        return
    worth = {"reward": reward["value"]}
    worth |= {f"reward.{name}": value for name, value in sorted(reward["parts"].items())}
    for name, value in worth.items():
        told = {
            "gen_ai.evaluation.name": name,
            "gen_ai.evaluation.score.value": float(value),
            "gen_ai.evaluation.explanation": reward["spec"],
            "gen_ai.response.id": answer.id,
            "rlwd.reward": True,
        }
        yield {
            "timeUnixNano": _nanoseconds(answer.event.receivedtime),
            "eventName": EVALUATION,
            "traceId": _trace(answer.event.data),
            "spanId": _digest(answer.id, 8),
            "attributes": _attributes(told),
        }


def _add_remainders(spans: list[dict[str, Any]], session: ExportedSession) -> None:
    """Read each span as anybody would, and put down what was not in it."""
    reading = TraceReading(Path("export"), "otel-genai", None)
    for span, answer in zip(spans, session.answers, strict=True):
        record = next(otlp_records(span))
        answer_of_span(reading, record, {})
        read = reading.recording.events.pop()
        assert isinstance(read, GenerationEvent)
        left = remainder_of(answer.event, read, answer.feedback, answer.derived, answer.reward)
        # The one before is found by time, which is not always the one that it goes on from.
        left.setdefault("generation", {})["parent_id"] = answer.event.data.parent_id
        span["attributes"] += _attributes({NAME: orjson.dumps(left).decode()})


def _attributes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in told.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}


def _trace(data: Generation) -> str:
    """Return a session's trace id; two tenants' sessions of one name are two."""
    return _digest(f"{data.tenant}\0{data.session_id}", 16)


def _digest(name: str, size: int) -> str:
    return hashlib.blake2b(name.encode(), digest_size=size).hexdigest()


def _nanoseconds(at: Any) -> str:
    return str(round(at.timestamp() * 1e6) * 1000)
