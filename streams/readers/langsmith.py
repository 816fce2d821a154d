"""Langsmith: exported runs of models, and the feedback on them.

    {"id": "r1", "trace_id": "t1", "run_type": "llm", "start_time": "…", "inputs": {"messages": [...]},
     "outputs": {"generations": [[{"message": {...}}]]}, "extra": {"metadata": {...}}}
    {"id": "f1", "run_id": "r1", "key": "user_score", "score": 1, "created_at": "…"}

Feedback on another run of a trace is of the trace's last answer; a correction counts as an edit.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.generation import Generation
from ..events.signals import Edited
from ..traces.messages import Message, message_of, messages_of, text_of
from ..traces.offered_tools import offered_tools
from ..traces.recorded import OnError
from ..traces.scores import actor_of, score_signal
from ..traces.trace_reading import BEGINNING, TraceReading, mapping, moment, text, usage_of
from .openai_chat import sampling_of, session_of


def read_langsmith(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of an export; no tokens were recorded."""
    reading = TraceReading(path, "langsmith", on_error)
    runs: list[tuple[int, Mapping[str, Any]]] = []
    told: list[tuple[int, Mapping[str, Any]]] = []
    for document in reading.documents():
        with reading.taking(document.number):
            row: Mapping[str, Any] = document.value
            if "run_type" in row:
                runs.append((document.number, row))
            elif "key" in row and "run_id" in row:
                told.append((document.number, row))
            else:
                raise ValueError("$: is neither a run nor feedback")
    found: dict[str, Generation] = {}
    for number, row in sorted(runs, key=lambda each: str(each[1].get("start_time"))):
        if row["run_type"] == "llm":
            with reading.taking(number):
                _answer(reading, row, found)
    traces = {text(row.get("id")): text(row.get("trace_id")) for _, row in runs}
    for number, row in told:
        with reading.taking(number):
            _feedback(reading, row, found, traces)
    return reading.events()


def _answer(reading: TraceReading, row: Mapping[str, Any], found: dict[str, Generation]) -> None:
    id, trace = text(row.get("id")), text(row.get("trace_id"))
    if not id:
        raise ValueError("$.id: is missing")
    metadata = mapping(mapping(row.get("extra")).get("metadata"))
    asked = mapping(mapping(row.get("extra")).get("invocation_params"))
    session = session_of(metadata) or trace or id
    inputs = mapping(row.get("inputs"))
    before = messages_of(inputs.get("messages", inputs.get("prompt", "")), "$.inputs.messages")
    said, finish = _said(mapping(row.get("outputs")))
    used = mapping(mapping(row.get("outputs")).get("usage_metadata"))
    at = moment(row.get("start_time"), "$.start_time") or BEGINNING
    end = moment(row.get("end_time"), "$.end_time")
    found[id] = found[trace] = found[session] = reading.answer(
        id,
        session,
        before,
        said,
        at,
        person=text(metadata.get("user_id")) or text(metadata.get("user")),
        parent_id=found[session].generation_id if session in found else None,
        policy=text(metadata.get("ls_model_name")) or text(asked.get("model")) or "policy",
        harness=text(metadata.get("revision_id")),
        tools=offered_tools(asked.get("tools", inputs.get("tools"))),
        sampling=sampling_of(asked or {"temperature": metadata.get("ls_temperature")}),
        usage=usage_of(
            used.get("input_tokens", row.get("prompt_tokens")),
            used.get("output_tokens", row.get("completion_tokens")),
        ),
        latency_seconds=max(0.0, (end - at).total_seconds()) if end else 0.0,
        finish="error" if row.get("error") else finish,
    )


def _said(outputs: Mapping[str, Any]) -> tuple[Message, Any]:
    """Return what a run answered, wherever its recorder put it, and how it ended."""
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    one = mapping(generations)
    choices = outputs.get("choices")
    choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    finish = mapping(one.get("generation_info")).get("finish_reason", choice.get("finish_reason"))
    listed = outputs.get("messages")
    said = one.get("message") or choice.get("message") or outputs.get("message")
    said = said or (listed[-1] if isinstance(listed, list) and listed else None)
    if said is None and "role" in outputs:
        said = outputs
    if said is None:
        written = one.get("text", outputs.get("output", outputs.get("text", "")))
        return Message("assistant", text_of(written)), finish
    return message_of(said, "$.outputs")[-1]._replace(role="assistant"), finish


def _feedback(
    reading: TraceReading,
    row: Mapping[str, Any],
    found: Mapping[str, Generation],
    traces: Mapping[str, str],
) -> None:
    run = text(row["run_id"])
    trace = text(row.get("trace_id")) or traces.get(run, "")
    generation = found.get(run) or found.get(trace)
    if generation is None:
        generation = Generation(generation_id=run, session_id=trace or run)
    kind = text(mapping(row.get("feedback_source")).get("type"))
    by_person = kind not in ("model", "auto_eval")
    at = moment(row.get("created_at"), "$.created_at") or BEGINNING
    name, key = text(row.get("id")) or text(row["key"]), text(row["key"])
    correction = row.get("correction")
    corrected = correction if isinstance(correction, str) else _only_text(mapping(correction))
    actor = actor_of(by_person)
    if corrected:
        edited = Edited(final_text=corrected)
        reading.feedback(f"{name}.correction", edited, generation, at, actor)
    value = row.get("score")
    if value is None:
        value = row.get("value")
    if value is not None or not corrected:
        signal = score_signal(key, value, "$.score", by_person=by_person)
        reading.feedback(name, signal, generation, at, actor)


def _only_text(correction: Mapping[str, Any]) -> str:
    texts = [one for one in correction.values() if isinstance(one, str)]
    return texts[0] if len(texts) == 1 else ""
