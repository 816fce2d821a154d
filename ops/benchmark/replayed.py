"""Replayed: what one version's answer to a benchmark's request is, as numbers; its text is not kept."""

from collections.abc import Iterable

import msgspec

from ...rewards.behaviours.behaviour import BEHAVIOURS, measure
from ...rewards.spec.reward import taken_off, weighted_mean
from ...rewards.spec.shared_parts import asked_costs, asked_parts
from ...rewards.spec.spec import Spec
from ...streams.derived.written_calls import written_calls
from ...streams.events.episode import Episode
from ...streams.events.generation import Generation
from ...streams.events.tool_use import ToolCall
from ...streams.events.usage import Usage
from ..engine.port import EngineAnswer
from ..gate.paired import BARS, OFF_TOPIC
from .benchmark_file import BenchmarkRequest


class ReplayedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer does and costs."""

    person: int
    """Whose request it answers, by the benchmark's number."""
    segment: str
    """Kind of work."""
    behaviours: dict[str, float]
    """What it does, number by name; what cannot be told is left out."""
    tokens: int | None = None
    """Tokens written, up to our own limit; None where the engine did not say."""
    seconds: float = 0.0
    """From the request to the whole answer."""
    worth: float | None = None
    """By the parts and costs of the reward spec that need nobody; None where it has none."""
    empty: bool = False
    """Whether it says and calls nothing, or never came."""
    taken: float | None = None
    """Log-probability a token of what the person took, under this version."""


def replayed(
    request: BenchmarkRequest,
    answer: EngineAnswer,
    *,
    ours: bool,
    seconds: float,
    spec: Spec,
    taken: float | None,
    measured: Iterable[str],
) -> ReplayedAnswer:
    """Return an answer's numbers; `ours` says whether its limit was ours and not production's."""
    record = record_of(request, answer, seconds)
    found = measure(record, {*BEHAVIOURS} & {*measured, *BARS, "likeness"}) or {}
    cut = ours and answer.finish_reason == "length"
    if cut:
        # The limit is the replay's: to be cut by it is no habit. It is at least so long, and counts as that.
        found.pop("breaks_off", None)
    return ReplayedAnswer(
        person=request.person,
        segment=request.segment,
        behaviours=found,
        tokens=answer.tokens,
        seconds=seconds,
        worth=unattended_worth(spec, record),
        empty=not record.text.strip() and not record.tool_calls,
        taken=taken,
    )


def never_came(request: BenchmarkRequest, seconds: float) -> ReplayedAnswer:
    """Return an answer that was not there after so many seconds: it says nothing."""
    return ReplayedAnswer(
        person=request.person, segment=request.segment, behaviours={}, seconds=seconds, empty=True
    )


def record_of(request: BenchmarkRequest, answer: EngineAnswer, seconds: float) -> Generation:
    """Return an answer as the record that behaviours and costs read.

    Calls are read in its text, as no server did; one that cannot be read stays there, and is counted as
    such a one of production is. What a tool's schema takes is not known: a call fits nothing where no
    tool of its name was offered, or where its arguments are no object.
    """
    text, written = written_calls(answer.text) if request.tools else (answer.text, [])
    offered = {one.name for one in request.tools}
    calls = tuple(
        ToolCall(
            id=f"call-{place}",
            name=one.name[:512],
            arguments=one.arguments,
            parses=True,
            fits=None if one.name in offered and one.arguments.startswith("{") else False,
        )
        for place, one in enumerate(written, 1)
    )
    return Generation(
        generation_id=request.generation_id,
        session_id="benchmark",
        segment=request.segment,
        text=text,
        tool_calls=calls,
        tools=request.tools,
        input=request.input,
        earlier_answers=request.earlier_answers,
        sampling=request.sampling,
        finish_reason=answer.finish_reason,
        usage=Usage(
            prompt_tokens=len(request.prompt_token_ids), completion_tokens=answer.tokens or 0
        ),
        latency_seconds=seconds,
    )


def unattended_worth(spec: Spec, record: Generation) -> float | None:
    """Return what an answer is worth by itself: what is known of its parts, less its costs."""
    episode = Episode(generation=record, received_at=0.0, feedback=())
    counted, terms = spec.within_horizons(episode), spec.terms_in(record.segment)
    parts = weighted_mean(asked_parts(terms, episode, counted, {}))
    costs = asked_costs(terms, episode, counted)
    if parts is None and not any(one.value is not None for one in costs):
        return None
    return (parts or 0.0) - taken_off(costs)


def does(answer: ReplayedAnswer, tools: bool) -> dict[str, bool]:
    """Return which habits an answer has, of what can be told of it."""
    found = {
        name: answer.behaviours[name] >= bar
        for name, bar in BARS.items()
        if name in answer.behaviours
    }
    if not tools and "likeness" in answer.behaviours:
        found[OFF_TOPIC] = answer.behaviours["likeness"] == 0.0
    return found
