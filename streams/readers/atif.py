"""ATIF: trajectories of agents (Harbor's RFC 0001, versions 1.0 to 1.7), with token ids where told.

    {"schema_version": "ATIF-v1.7", "session_id": "s", "agent": {"name": "a", "version": "1"},
     "steps": [{"step_id": 1, "source": "user", "message": "hi"},
               {"step_id": 2, "source": "agent", "message": "yo",
                "metrics": {"prompt_token_ids": [1], "completion_token_ids": [2], "logprobs": [-0.1]}}]}

Each step of the agent is an answer, but those that were copied from an earlier trajectory and those
without a call of a model. A subagent's trajectory is a session of its own that names the tool call it
works for. Which weights answered is not told, so nothing of others is learned from by ratios.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event, GenerationEvent
from ..events.generation import Generation
from ..traces.messages import Message, message_of, tool_call
from ..traces.offered_tools import offered_tools
from ..traces.recorded import OnError
from ..traces.remainder import NAME, restored
from ..traces.spoken import Spoken
from ..traces.trace_reading import BEGINNING, TraceReading, listed, mapping, moment, text, usage_of

_VERSION = re.compile(r"ATIF-v1\.[0-7]")
DEEPEST = 8
"""Most subagents of subagents."""


def read_atif(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of trajectories: one of a whole file, of a list, or one of each line."""
    reading = TraceReading(path, "atif", on_error)
    for document in reading.documents():
        trajectory = None
        with reading.taking(document.number):
            trajectory = Trajectory(reading, document.number, document.value, document.name)
        if trajectory is not None:
            trajectory.take()
    return reading.events()


class Trajectory:
    """One trajectory that is being read. Raises ValueError where it is none of a known version."""

    def __init__(
        self,
        reading: TraceReading,
        number: int,
        value: Mapping[str, Any],
        name: str,
        parent: Generation | None = None,
        call_id: str | None = None,
    ) -> None:
        version = value.get("schema_version")
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise ValueError(f"$.schema_version: {version!r} is none of ATIF-v1.0 to ATIF-v1.7")
        if not isinstance(value.get("steps"), list):
            raise ValueError("$.steps: is no list")
        self.reading, self.number, self.value = reading, number, value
        self.id = text(value.get("trajectory_id"))
        self.session = text(value.get("session_id")) or self.id or f"atif-{name}"
        if parent is not None and self.session == parent.session_id:
            self.session = f"{self.session}.{self.id or call_id or name}"
        self.parent, self.call_id = parent, call_id
        self.agent = mapping(value.get("agent"))
        self.said = Spoken()
        self.last: str | None = parent.generation_id if parent else None
        self.answers: list[Generation] = []

    def take(self, deep: int = 0) -> None:
        """Add every answer; a step that cannot be read is named, and the others are read."""
        children = {
            text(mapping(one).get("trajectory_id")): mapping(one)
            for one in listed(self.value.get("subagent_trajectories"))
        }
        for place, step in enumerate(self.value["steps"]):
            generation = None
            with self.reading.taking(self.number, f"$.steps[{place}]"):
                generation = self._step(mapping(step), place)
            for result in _results(mapping(step)):
                for ref in listed(result.get("subagent_trajectory_ref")):
                    child = children.pop(text(mapping(ref).get("trajectory_id")), None)
                    if child is not None and deep < DEEPEST:
                        self._child(child, generation, text(result.get("source_call_id")), deep)
        for child in children.values():
            self._child(child, self.answers[-1] if self.answers else None, "", deep)

    def _child(
        self, child: Mapping[str, Any], parent: Generation | None, call: str, deep: int
    ) -> None:
        with self.reading.taking(self.number, "$.subagent_trajectories"):
            name = text(child.get("trajectory_id"))
            inner = Trajectory(self.reading, self.number, child, name, parent, call or None)
            inner.take(deep + 1)

    def _step(self, step: Mapping[str, Any], place: int) -> Generation | None:
        source = step.get("source")
        if source not in ("user", "system", "agent"):
            raise ValueError(f"source: {source!r} is none of user, system, agent")
        # What was done without a call of a model, the harness did.
        modelled = source == "agent" and step.get("llm_call_count") != 0
        role = "assistant" if modelled else "user" if source == "user" else "system"
        said = message_of({"role": role, "content": step.get("message", "")})[-1]
        generation = None
        if modelled:
            calls = listed(step.get("tool_calls"))
            said = said._replace(
                reasoning=text(step.get("reasoning_content")), calls=tuple(map(_call, calls))
            )
            generation = self._answer(step, place, said)
        for message in (said, *map(_result, _results(step))):
            self.said.add(message)
        return generation

    def _answer(self, step: Mapping[str, Any], place: int, said: Message) -> Generation | None:
        own = mapping(mapping(step.get("extra")).get(NAME))
        told = mapping(own.get("generation")).get("generation_id")
        number = step.get("step_id", place + 1)
        id = told if isinstance(told, str) else f"{self.id or self.session}.{number}"
        if step.get("is_copied_context"):
            # Of whom it was copied from only we say which answer it was.
            self.last = id if told else self.last
            return None
        earlier, self.last = self.last, id
        metrics = mapping(step.get("metrics"))
        self.reading.answer(
            id,
            self.session,
            self.said,
            said,
            self._time(step, place),
            parent_id=earlier,
            call_id=self.call_id,
            policy=text(step.get("model_name")) or text(self.agent.get("model_name")) or "policy",
            harness=f"{text(self.agent.get('name'))} {text(self.agent.get('version'))}".strip(),
            tools=offered_tools(self.agent.get("tool_definitions")),
            prompt_token_ids=_tokens(metrics, "prompt_token_ids"),
            completion_token_ids=_tokens(metrics, "completion_token_ids"),
            logprobs=_numbers(metrics, "logprobs"),
            logprobs_mode="",
            usage=usage_of(
                metrics.get("prompt_tokens"),
                metrics.get("completion_tokens"),
                metrics.get("cached_tokens"),
            ),
        )
        event = self.reading.recording.events[-1]
        assert isinstance(event, GenerationEvent)
        if own:
            event, feedback = restored(event, own)
            self.reading.recording.events[-1:] = [event, *feedback]
        self.answers.append(event.data)
        return event.data

    def _time(self, step: Mapping[str, Any], place: int) -> datetime:
        at = moment(step.get("timestamp"), "timestamp")
        return at or BEGINNING + timedelta(seconds=place)


def _results(step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = mapping(step.get("observation")).get("results")
    return [mapping(one) for one in found] if isinstance(found, list) else []


def _result(result: Mapping[str, Any]) -> Message:
    said = message_of({"role": "tool", "content": result.get("content") or ""})[-1]
    return said._replace(call_id=text(result.get("source_call_id")) or None)


def _call(one: Any) -> Any:
    call = mapping(one)
    return tool_call(call.get("tool_call_id"), call.get("function_name"), call.get("arguments"))


def _tokens(metrics: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    value = metrics.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise ValueError(f"metrics.{name}: is no list of token ids")
    return tuple(value)


def _numbers(metrics: Mapping[str, Any], name: str) -> tuple[float, ...] | None:
    value = metrics.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        raise ValueError(f"metrics.{name}: is no list of numbers")
    return tuple(map(float, value))
