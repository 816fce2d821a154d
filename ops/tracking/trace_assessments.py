"""Trace assessments: feedback and reward of an answer, as a tracking server compares and searches them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...streams.derived.derivation import call_key
from ...streams.events.episode import Timed
from ...streams.events.signals import (
    Asked,
    Checked,
    Copied,
    Edited,
    FollowedUp,
    Kept,
    Measured,
    Outcome,
    Rated,
    Regenerated,
    Signal,
    ToolResult,
    kind_of,
)
from ...streams.events.tool_use import ToolCall
from .trace_record import TraceAssessment

ACT = "act"
"""Name of what somebody did with an answer; the value is the signal's kind."""
TOOL = "tool"
"""Name of what came of a call; the value is `worked`, or the class of the error."""
REWARD = "reward"
"""Name of what the answer is worth; its parts are `reward.PART`."""


class Worth(NamedTuple):
    """What the reward spec says of an answer."""

    value: float | None
    """The reward; None where nothing decisive came."""
    parts: Mapping[str, tuple[float | None, float]]
    """Value and weight of each part."""
    spec: str
    """Version of the spec."""
    at: float
    """When it was said, epoch seconds."""


def assessments_of(
    said: Sequence[Timed], calls: Sequence[ToolCall], worth: Worth
) -> tuple[TraceAssessment, ...]:
    """Return what was said of an answer in the order received, then the reward and its parts."""
    return (*(_said(one, calls) for one in said), *_worth(worth))


def call_of(one: Timed, calls: Sequence[ToolCall]) -> ToolCall | None:
    """Return the call that a tool's result is about; None where that cannot be told."""
    signal, name = one.feedback.signal, one.feedback.feedback_id
    if not isinstance(signal, ToolResult):
        return None
    if one.origin:
        key = name.split(":")[2]
        found = [call for call in calls if call_key(call.id or call.arguments) == key]
    else:
        same = [call for call in calls if call.name == signal.tool]
        found = same if len(same) == 1 else [one for one in same if one.id and one.id in name]
    return found[0] if found else None


def call_span(call: ToolCall, calls: Sequence[ToolCall]) -> str:
    """Return the key of a call's span."""
    return f"call {[id(one) for one in calls].index(id(call))}"


def _said(one: Timed, calls: Sequence[ToolCall]) -> TraceAssessment:
    feedback = one.feedback
    name, value, rationale = _words(feedback.signal)
    call = call_of(one, calls)
    return TraceAssessment(
        key=f"said {feedback.feedback_id}",
        name=name,
        value=value,
        human=feedback.actor == "person",
        source=f"derived ({feedback.actor})" if one.origin else feedback.actor,
        at=one.acted_at,
        rationale=rationale,
        span="" if call is None else call_span(call, calls),
    )


def _words(signal: Signal) -> tuple[str, str | float, str]:
    """Return name, value and rationale."""
    match signal:
        case Rated():
            return "rated", signal.value, ""
        case Kept():
            return "kept", signal.fraction, f"after {signal.horizon_seconds:g} s"
        case Measured():
            return f"measured.{signal.name}", signal.value, ""
        case Checked():
            return f"checked.{signal.name}", float(signal.passed), ""
        case Outcome():
            amount = "" if signal.amount is None else f"{signal.amount:g} {signal.unit}".strip()
            return f"outcome.{signal.name}", signal.value, amount
        case ToolResult():
            return TOOL, "worked" if signal.error_class is None else "failed", _tool(signal)
        case Asked():
            return "asked", signal.probability, f"{signal.question} {signal.channel}".strip()
        case Edited():
            return ACT, "edited", signal.final_text
        case Copied() | FollowedUp():
            return ACT, kind_of(signal), signal.text
        case Regenerated():
            return ACT, "regenerated", signal.new_generation_id or ""
        case _:
            return ACT, kind_of(signal), ""


def _tool(signal: ToolResult) -> str:
    return f"{signal.tool}: {signal.error_class}" if signal.error_class else signal.tool


def _worth(worth: Worth) -> Iterator[TraceAssessment]:
    if worth.value is None:
        return
    known = {REWARD: (worth.value, "")}
    for part, (value, weight) in worth.parts.items():
        if value is not None:
            known[f"{REWARD}.{part}"] = (value, f"weight {weight:g}")
    for name, (value, rationale) in known.items():
        yield TraceAssessment(
            key=name,
            name=name,
            value=float(value),
            human=False,
            source=worth.spec or "reward spec",
            at=worth.at,
            rationale=rationale,
        )
