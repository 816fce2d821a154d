"""Langfuse: exported observations and scores, as rows, or within their traces.

    {"id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": "…", "input": [...],
     "output": {"role": "assistant", ...}, "model": "m", "usageDetails": {"input": 9, "output": 3}}
    {"id": "sc1", "traceId": "t1", "observationId": "o1", "name": "user-feedback", "value": 1,
     "dataType": "BOOLEAN", "source": "API", "timestamp": "…"}
    {"id": "t1", "sessionId": "s", "userId": "u", "observations": [...], "scores": [...]}

A score is of its observation, else of the last generation of its trace, else of its session. One
whose generation is not in the file waits for it, as any feedback does.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.generation import Generation
from ..traces.messages import messages_of
from ..traces.recorded import OnError
from ..traces.scores import actor_of, score_signal
from ..traces.trace_reading import (
    BEGINNING,
    TraceReading,
    ended,
    listed,
    mapping,
    moment,
    text,
    usage_of,
)
from .openai_chat import sampling_of

_MODELS = frozenset(("GENERATION", "CHATMODEL", "LLM"))


def read_langfuse(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of an export; no tokens were recorded."""
    reading = TraceReading(path, "langfuse", on_error)
    export = _Export(reading)
    for document in reading.documents():
        with reading.taking(document.number):
            export.take(document.number, document.value)
    export.answers()
    export.scored()
    return reading.events()


class _Export:
    """The rows of a file, which come in any order."""

    def __init__(self, reading: TraceReading) -> None:
        self.reading = reading
        self.traces: dict[str, Mapping[str, Any]] = {}
        self.observations: list[tuple[int, Mapping[str, Any]]] = []
        self.scores: list[tuple[int, Mapping[str, Any]]] = []
        self.found: dict[str, Generation] = {}

    def take(self, number: int, row: Mapping[str, Any]) -> None:
        """Sort a row to its kind."""
        held = [row.get("observations"), row.get("scores")]
        if any(isinstance(one, list) for one in held):
            self.traces[text(row.get("id"))] = row
            self.observations += [(number, mapping(one)) for one in listed(held[0])]
            self.scores += [(number, mapping(one)) for one in listed(held[1])]
        elif isinstance(row.get("data"), list):
            for one in row["data"]:
                self.take(number, mapping(one))
        elif "startTime" in row or text(row.get("type")) in _MODELS:
            self.observations.append((number, row))
        elif "name" in row and ("value" in row or "stringValue" in row):
            self.scores.append((number, row))
        elif "timestamp" in row and "id" in row:
            self.traces[text(row["id"])] = row
        else:
            raise ValueError("$: is no trace, observation or score")

    def answers(self) -> None:
        """Add the generations, earliest first, so that each finds the one before it."""
        told = [(n, one) for n, one in self.observations if text(one.get("type")) in _MODELS]
        last: dict[str, str] = {}
        for number, one in sorted(told, key=lambda each: text(each[1].get("startTime"))):
            with self.reading.taking(number):
                trace = self.traces.get(text(one.get("traceId")), {})
                session = self._session(one, trace)
                generation = self._answer(one, trace, session, last.get(session))
                self.found[generation.generation_id] = generation
                last[session] = generation.generation_id

    def _session(self, row: Mapping[str, Any], trace: Mapping[str, Any]) -> str:
        for place in (row.get("sessionId"), trace.get("sessionId"), row.get("traceId")):
            if isinstance(place, str) and place:
                return place
        raise ValueError("$.traceId: is missing")

    def _answer(
        self, one: Mapping[str, Any], trace: Mapping[str, Any], session: str, parent: str | None
    ) -> Generation:
        if not text(one.get("id")):
            raise ValueError("$.id: is missing")
        given = one.get("input")
        asked = mapping(given)
        before = messages_of(asked.get("messages", given), "$.input")
        output = one.get("output")
        choices = mapping(output).get("choices")
        choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
        said = messages_of(choice.get("message", output if output is not None else ""), "$.output")
        answer = said[-1]._replace(role="assistant") if said else None
        if answer is None:
            raise ValueError("$.output: says nothing")
        used = mapping(one.get("usageDetails", one.get("usage")))
        at = moment(one.get("startTime"), "$.startTime") or BEGINNING
        finish = "error" if one.get("level") == "ERROR" else choice.get("finish_reason")
        return self.reading.answer(
            text(one["id"]),
            session,
            before,
            answer,
            at,
            person=text(one.get("userId")) or text(trace.get("userId")),
            parent_id=parent,
            policy=text(one.get("model")) or text(one.get("providedModelName")) or "policy",
            harness=text(trace.get("release")) or text(one.get("version")),
            sampling=sampling_of(mapping(one.get("modelParameters"))),
            usage=usage_of(used.get("input"), used.get("output"), used.get("input_cached_tokens")),
            latency_seconds=_seconds(at, one.get("endTime")),
            finish=ended(finish, answer),
        )

    def scored(self) -> None:
        """Add the scores to what they are about."""
        last: dict[str, Generation] = {}
        for _, one in sorted(self.observations, key=lambda each: text(each[1].get("startTime"))):
            if generation := self.found.get(text(one.get("id"))):
                last[text(one.get("traceId"))] = last[generation.session_id] = generation
        for number, score in self.scores:
            with self.reading.taking(number):
                self._score(score, last)

    def _score(self, score: Mapping[str, Any], last: Mapping[str, Generation]) -> None:
        trace, about = text(score.get("traceId")), text(score.get("observationId"))
        generation = self.found.get(about)
        if generation is None and not about:
            generation = last.get(trace) or last.get(text(score.get("sessionId")))
        if generation is None:
            if not about and not trace:
                raise ValueError("$.observationId: is missing, and so is traceId")
            generation = Generation(generation_id=about or trace, session_id=trace or about)
        value = score.get("value")
        if score.get("dataType") == "CATEGORICAL" or value is None:
            value = score.get("stringValue", value)
        by_person = score.get("source", "API") != "EVAL"
        name = text(score.get("name"))
        at = moment(score.get("timestamp", score.get("createdAt")), "$.timestamp") or BEGINNING
        signal = score_signal(name, value, "$.value", by_person=by_person)
        named = text(score.get("id")) or name
        self.reading.feedback(named, signal, generation, at, actor_of(by_person))


def _seconds(begun: datetime, ended_at: Any) -> float:
    end = moment(ended_at, "$.endTime")
    return max(0.0, (end - begun).total_seconds()) if end else 0.0
