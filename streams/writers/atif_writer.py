"""ATIF writer: sessions as trajectories (Harbor's RFC 0001, version 1.7), with tokens and rewards.

A way from the beginning of a session to an end of it is a trajectory; where ways share their
beginning, the later ones have it as copied context. What the format has no field for stands in
`extra.rlwd` of the answer's step, so that reading it again gives the same events.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..events.event import GenerationEvent
from ..events.generation import Generation
from ..events.input_message import InputMessage
from ..events.limits import read_json
from ..events.tool_use import ToolCall
from ..readers.atif import Trajectory
from ..traces.remainder import NAME, remainder_of
from ..traces.trace_reading import TraceReading
from .exported import ExportedAnswer, ExportedSession

VERSION = "ATIF-v1.7"


def trajectories(session: ExportedSession) -> Iterator[dict[str, Any]]:
    """Yield the trajectories of a session; each answer is one's own step in exactly one of them."""
    told: set[str] = set()
    for number, way in enumerate(session.ways(), start=1):
        yield _trajectory(session, way, number, told)
        told |= {answer.id for answer in way}


def _trajectory(
    session: ExportedSession, way: list[ExportedAnswer], number: int, told: set[str]
) -> dict[str, Any]:
    last = way[-1].event.data
    steps: list[dict[str, Any]] = []
    own: list[tuple[dict[str, Any], ExportedAnswer]] = []
    for answer in way:
        copied = answer.id in told
        before = len(steps)
        _add_input(steps, answer.event.data.input)
        steps.append(_step(answer))
        if copied:
            for step in steps[before:]:
                step["is_copied_context"] = True
        else:
            own.append((steps[-1], answer))
    for place, step in enumerate(steps, start=1):
        step["step_id"] = place
    document = {
        "schema_version": VERSION,
        "session_id": session.id,
        "trajectory_id": session.id if number == 1 else f"{session.id}.{number}",
        "agent": {
            "name": last.policy,
            "version": last.harness or "unknown",
            "model_name": last.version or last.policy,
        },
        "steps": steps,
        "final_metrics": _totals([answer.event.data for _, answer in own]),
    }
    _add_remainders(document, own)
    return document


def _add_input(steps: list[dict[str, Any]], said: tuple[InputMessage, ...]) -> None:
    """Add what was said since the answer before: results to its step, the rest as steps."""
    calls = {one["tool_call_id"] for one in steps[-1].get("tool_calls", ())} if steps else set()
    answered = steps[-1] if steps else {}
    for message in said:
        if message.role == "tool" and message.tool_call_id in calls:
            observation = answered.setdefault("observation", {"results": []})
            result = {"source_call_id": message.tool_call_id, "content": message.text}
            observation["results"].append(result)
        else:
            source = "user" if message.role == "user" else "system"
            steps.append({"step_id": 0, "source": source, "message": message.text})


def _step(answer: ExportedAnswer) -> dict[str, Any]:
    data = answer.event.data
    step: dict[str, Any] = {
        "step_id": 0,
        "timestamp": answer.event.time.isoformat(),
        "source": "agent",
        "model_name": data.version or data.policy,
        "message": data.text,
    }
    if data.reasoning:
        step["reasoning_content"] = data.reasoning
    if data.tool_calls:
        step["tool_calls"] = [_call(call) for call in data.tool_calls]
    step["metrics"] = _metrics(data, answer.reward)
    step["llm_call_count"] = 1
    step["extra"] = {NAME: {"generation": {"generation_id": data.generation_id}}}
    return step


def _call(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = read_json(call.arguments)
    except ValueError:
        arguments = None
    # The format wants an object; what the model wrote otherwise stands in the remainder.
    return {
        "tool_call_id": call.id,
        "function_name": call.name,
        "arguments": arguments if isinstance(arguments, dict) else {},
    }


def _metrics(data: Generation, reward: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompt_tokens": data.usage.prompt_tokens or len(data.prompt_token_ids or ()),
        "completion_tokens": data.usage.completion_tokens or len(data.completion_token_ids or ()),
    }
    if data.usage.cached_prompt_tokens is not None:
        found["cached_tokens"] = data.usage.cached_prompt_tokens
    for name in ("prompt_token_ids", "completion_token_ids", "logprobs"):
        if getattr(data, name) is not None:
            found[name] = list(getattr(data, name))
    if reward is not None:
        found["extra"] = {"reward": reward["value"]}
    return found


def _totals(answers: list[Generation]) -> dict[str, int]:
    return {
        "total_prompt_tokens": sum(one.usage.prompt_tokens for one in answers),
        "total_completion_tokens": sum(one.usage.completion_tokens for one in answers),
        "total_cached_tokens": sum(one.usage.cached_prompt_tokens or 0 for one in answers),
        "total_steps": len(answers),
    }


def _add_remainders(
    document: dict[str, Any], own: list[tuple[dict[str, Any], ExportedAnswer]]
) -> None:
    """Read the document as anybody would, and put down what was not in it."""
    reading = TraceReading(Path("export"), "atif", None)
    Trajectory(reading, 1, document, "export").take()
    events = [one for one in reading.recording.events if isinstance(one, GenerationEvent)]
    for read, (step, answer) in zip(events, own, strict=True):
        left = remainder_of(answer.event, read, answer.feedback, answer.derived, answer.reward)
        # Which answer it is, a reader must know before it puts the rest in place.
        left["generation"] = {"generation_id": answer.id, **left.get("generation", {})}
        step["extra"] = {NAME: left}
