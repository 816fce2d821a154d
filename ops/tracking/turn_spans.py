"""Turn spans: one turn as a tree of what the model did in it: the answer, and each call of a tool."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ...streams.events.episode import Timed
from ...streams.events.event import GenerationEvent
from ...streams.events.generation import Generation
from ...streams.events.input_message import InputMessage
from ...streams.events.limits import read_json
from ...streams.events.signals import ToolResult
from ...streams.events.tool_use import ToolCall
from .trace_assessments import call_of, call_span
from .trace_record import TraceSpan

TURN = "turn"
"""Key of the span that holds the others."""


class CallResult(NamedTuple):
    """What came of a call."""

    text: str | None = None
    """What the tool gave back; None where the next request has not told, or may not be shown."""
    problem: str = ""
    """What went wrong."""


def turn_spans(event: GenerationEvent, results: Mapping[str, CallResult]) -> tuple[TraceSpan, ...]:
    """Return the turn, then its answer and its calls; `results` is by the keys of the calls' spans."""
    data = event.data
    start = event.time.timestamp()
    end = start + max(0.0, min(data.latency_seconds, 1e9))
    asked = {"messages": [_message(one) for one in data.input]}
    problem = (data.finish_reason or str(data.status)) if failed(data) else ""
    turn = TraceSpan(
        key=TURN,
        name=TURN,
        kind="AGENT",
        inputs=asked,
        outputs={"messages": [_answer(data)]},
        start=start,
        end=end,
        problem=problem,
        attributes={"mlflow.message.format": "openai"},
    )
    model = TraceSpan(
        key="answer",
        name="answer",
        kind="CHAT_MODEL",
        inputs={**asked, "model": data.policy, "sampling": msgspec.structs.asdict(data.sampling)},
        outputs={"choices": [{"message": _answer(data), "finish_reason": data.finish_reason}]},
        start=start,
        end=end,
        problem=problem,
        attributes={
            "mlflow.message.format": "openai",
            "mlflow.llm.model": data.version or data.policy,
            "mlflow.chat.tokenUsage": {
                "input_tokens": data.usage.prompt_tokens,
                "output_tokens": data.usage.completion_tokens,
                "total_tokens": data.usage.prompt_tokens + data.usage.completion_tokens,
            },
        },
    )
    keyed = [(call_span(call, data.tool_calls), call) for call in data.tool_calls]
    calls = [_call(key, call, results.get(key, CallResult()), end) for key, call in keyed]
    return (turn, model, *calls)


def results_of(
    data: Generation, shown: Mapping[str, GenerationEvent], said: Sequence[Timed]
) -> dict[str, CallResult]:
    """Return what came of each call, by the key of its span, as the next requests and feedback say."""
    origins = {one.origin for one in said} - {data.generation_id}
    texts = {
        message.tool_call_id: message.text
        for origin in sorted(origins & shown.keys())
        for message in shown[origin].data.input
        if message.tool_call_id
    }
    problems: dict[str, str] = {}
    for one in said:
        signal, call = one.feedback.signal, call_of(one, data.tool_calls)
        if call is not None and isinstance(signal, ToolResult) and signal.error_class:
            problems[call_span(call, data.tool_calls)] = signal.error_class
    return {
        key: CallResult(texts.get(call.id), problems.get(key, ""))
        for call in data.tool_calls
        for key in (call_span(call, data.tool_calls),)
    }


def failed(data: Generation) -> bool:
    """Return whether there was no whole answer, by no doing of the person's."""
    return data.finish_reason in ("error", "timeout", "refused") or data.status >= 500


def _call(key: str, call: ToolCall, result: CallResult, at: float) -> TraceSpan:
    """Return a call as a span. Nobody told when the tool began and ended, so it takes no time."""
    invalid = "invalid_arguments" if call.invalid else ""
    return TraceSpan(
        key=key,
        name=call.name or "unnamed",
        kind="TOOL",
        inputs=_arguments(call),
        outputs=result.text,
        start=at,
        end=at,
        problem=result.problem or invalid,
        attributes={"rlwd.call_id": call.id, "rlwd.parses": call.parses, "rlwd.fits": call.fits},
    )


def _arguments(call: ToolCall) -> Any:
    try:
        return read_json(call.arguments)
    except ValueError:
        return {"as written": call.arguments}


def _message(message: InputMessage) -> dict[str, Any]:
    known = {"role": message.role, "content": message.text}
    if message.tool_call_id:
        known["tool_call_id"] = message.tool_call_id
    if message.name:
        known["name"] = message.name
    return known


def _answer(data: Generation) -> dict[str, Any]:
    known: dict[str, Any] = {"role": "assistant", "content": data.text}
    if data.reasoning:
        # By this name MLflow's pages show it.
        known["reasoning"] = data.reasoning
    if data.tool_calls:
        known["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in data.tool_calls
        ]
    return known
