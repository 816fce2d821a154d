"""Traces out: golden files, and a round trip that loses nothing.

To write the golden files anew after a change that is meant: `python tests/streams/writers/test_writers.py`
with tests/support on the path, and look again.
"""

import json
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sessions_by_hand import answered, told, two_ways

from rlwd.streams.events.event import Event
from rlwd.streams.events.generation import Sampling
from rlwd.streams.events.input_message import InputMessage, answer_digest
from rlwd.streams.events.signals import Accepted, Edited, Kept, Outcome, Rated
from rlwd.streams.events.tool_use import OfferedTool, ToolCall
from rlwd.streams.events.usage import Usage
from rlwd.streams.readers.formats import trace_format
from rlwd.streams.writers.atif_writer import trajectories
from rlwd.streams.writers.exported import ExportedAnswer, ExportedSession
from rlwd.streams.writers.otel_writer import otlp_documents

CASES = Path(__file__).parent / "cases"
Writer = Callable[[ExportedSession], Iterable[dict[str, Any]]]
WRITERS: dict[str, Writer] = {"atif": trajectories, "otel-genai": otlp_documents}


def lines(write: Writer, session: ExportedSession) -> list[str]:
    return [orjson.dumps(document).decode() for document in write(session)]


def events_of(session: ExportedSession) -> list[Event]:
    found: list[Event] = []
    for answer in session.answers:
        found += [answer.event, *answer.feedback]
    return found


def in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.data.generation_id, event.id))


@pytest.mark.parametrize("format", WRITERS)
def test_a_session_becomes_its_golden_file(format: str) -> None:
    """Branches, tool calls of which one does not parse, tokens, feedback and a reward."""
    golden = (CASES / f"{format}.jsonl").read_text().splitlines()
    assert lines(WRITERS[format], two_ways()) == golden


@pytest.mark.parametrize("format", WRITERS)
def test_a_golden_file_becomes_the_session_again(format: str) -> None:
    """Every event comes back as it was, and nothing beside."""
    events = list(trace_format(format)(CASES / f"{format}.jsonl"))
    assert in_order(events) == in_order(events_of(two_ways()))


def test_a_trajectory_keeps_the_rules_of_its_format() -> None:
    """Steps count from 1; results name calls of their own step; arguments are objects; one own step each."""
    own = []
    for document in trajectories(two_ways()):
        assert document["schema_version"] == "ATIF-v1.7"
        assert [step["step_id"] for step in document["steps"]] == [
            *range(1, len(document["steps"]) + 1)
        ]
        for step in document["steps"]:
            calls = {call["tool_call_id"] for call in step.get("tool_calls", ())}
            assert all(isinstance(call["arguments"], dict) for call in step.get("tool_calls", ()))
            results = step.get("observation", {"results": ()})["results"]
            assert {result["source_call_id"] for result in results} <= calls
            assert isinstance(step["message"], str)
            if step["source"] == "agent" and not step.get("is_copied_context"):
                own.append(step["message"])
    assert own == ["One moment.", "Here it is.", "No x here."]


def test_rewards_are_evaluation_results() -> None:
    """The reward and each of its parts, with spec and answer, as the conventions name them."""
    logs = list(otlp_documents(two_ways()))[1]
    records = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert [record["eventName"] for record in records] == ["gen_ai.evaluation.result"] * 2
    found = [
        {one["key"]: next(iter(one["value"].values())) for one in record["attributes"]}
        for record in records
    ]
    assert [
        (one["gen_ai.evaluation.name"], one["gen_ai.evaluation.score.value"]) for one in found
    ] == [
        ("reward", 1.0),
        ("reward.accepted", 1.0),
    ]
    assert {one["gen_ai.response.id"] for one in found} == {"g2"}


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAME = st.text("abc-é ", min_size=1, max_size=6)
CALL = st.builds(
    ToolCall,
    id=st.sampled_from(["c1", "c2", ""]),
    name=NAME,
    arguments=st.sampled_from(["{}", '{"a": 1}', '{"a":', "[1]", '"x"', " {} "]),
    parses=st.booleans(),
    fits=st.none() | st.booleans(),
)
INPUT = st.builds(
    InputMessage,
    role=st.sampled_from(["system", "developer", "user", "tool"]),
    text=TEXT,
    tool_call_id=st.none() | st.sampled_from(["c1", "c2", "c9"]),
    name=st.none() | NAME,
    is_error=st.none() | st.booleans(),
    attachments=st.integers(0, 2),
    cut=st.booleans(),
)
SIGNAL = (
    st.builds(Accepted)
    | st.builds(Edited, final_text=TEXT)
    | st.builds(Rated, value=st.floats(0, 1))
    | st.builds(Outcome, name=NAME, value=st.floats(0, 1))
    | st.builds(Kept, fraction=st.floats(0, 1), horizon_seconds=st.just(300.0))
)


@st.composite
def sessions(draw: st.DrawFn) -> ExportedSession:
    answers: list[ExportedAnswer] = []
    for number in range(draw(st.integers(1, 5))):
        earlier = [one.id for one in answers]
        parent = draw(st.none() | st.sampled_from(earlier)) if earlier else None
        tokens = draw(st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=4))
        logged = tokens is not None and draw(st.booleans())
        last = draw(TEXT)
        event = answered(
            f"g{number}",
            number + draw(st.floats(0, 0.5)),
            parent_id=draw(st.sampled_from([parent, None, "elsewhere"])),
            session_found=draw(st.sampled_from(["named", "beginning", ""])),
            user_hash=draw(st.sampled_from(["", "ada"])),
            user_named=draw(st.booleans()),
            tenant=draw(st.sampled_from(["default", "acme"])),
            policy=draw(NAME),
            version=draw(st.sampled_from(["", "policy@v000001-00ff00ff"])),
            harness=draw(st.sampled_from(["", "bot 1", "x"])),
            text=draw(TEXT),
            reasoning=draw(TEXT),
            tool_calls=tuple(draw(st.lists(CALL, max_size=3))),
            tool_call_count=draw(st.none() | st.integers(0, 3)),
            tools=draw(st.sampled_from([(), (OfferedTool(name="find", digest="ab"),)])),
            input=tuple(draw(st.lists(INPUT, max_size=4))),
            earlier_answers=draw(st.integers(0, 9)),
            last_answer=answer_digest(last),
            prompt_token_ids=draw(st.sampled_from([None, (), (1, 2)])),
            completion_token_ids=None if tokens is None else tuple(tokens),
            logprobs=tuple(-0.25 for _ in tokens or ()) if logged else None,
            logprobs_mode=draw(st.sampled_from(["processed", "raw", ""])),
            sampling=Sampling(
                temperature=draw(st.floats(0, 2)),
                top_p=draw(st.floats(0, 1)),
                max_tokens=draw(st.none() | st.integers(1, 9)),
                constrained=draw(st.booleans()),
            ),
            finish_reason=draw(st.sampled_from(["", "stop", "length", "tool_calls", "error"])),
            status=draw(st.sampled_from([200, 499, 503])),
            usage=Usage(
                prompt_tokens=draw(st.integers(0, 9)),
                completion_tokens=draw(st.integers(0, 9)),
                cached_prompt_tokens=draw(st.none() | st.integers(0, 9)),
                reasoning_tokens=draw(st.none() | st.integers(0, 9)),
            ),
            latency_seconds=draw(st.floats(0, 10)),
            numbers=draw(st.sampled_from([{}, {"cost": 1.5}])),
            choice=draw(st.integers(0, 2)),
        )
        feedback = tuple(
            told(event, f"{number}.{at}", signal, 100 + at)
            for at, signal in enumerate(draw(st.lists(SIGNAL, max_size=2)))
        )
        answers.append(ExportedAnswer(event, parent, feedback))
    return ExportedSession("s", tuple(answers))


@pytest.mark.parametrize("format", WRITERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(session=sessions())
def test_a_round_trip_loses_nothing(tmp_path: Path, format: str, session: ExportedSession) -> None:
    """Whatever an answer holds, written and read again every event is the same."""
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(lines(WRITERS[format], session)))
    assert in_order(trace_format(format)(path)) == in_order(events_of(session))


@pytest.mark.parametrize("deep", ["[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300])
@pytest.mark.parametrize("format", WRITERS)
def test_arguments_that_nest_too_deep_end_no_export(tmp_path: Path, format: str, deep: str) -> None:
    """They can be read and not be written again: they leave as the model wrote them."""
    call = ToolCall(id="c1", name="find", arguments=deep, parses=True, fits=None)
    event = answered("g1", 0.0, tool_calls=(call,), tool_call_count=1)
    session = ExportedSession("s", (ExportedAnswer(event=event),))
    path = tmp_path / "out.jsonl"
    path.write_text("\n".join(lines(WRITERS[format], session)))
    assert list(trace_format(format)(path)) == [event]


def test_parents_in_a_circle_are_told_once() -> None:
    """A damaged state ends no export: each answer is written once."""
    answers = [
        ExportedAnswer(answered("a", 0.0, text="A"), "b"),
        ExportedAnswer(answered("b", 1.0, text="B"), "a"),
    ]
    session = ExportedSession("s", tuple(answers))
    told_texts = [
        step["message"]
        for document in trajectories(session)
        for step in document["steps"]
        if not step.get("is_copied_context")
    ]
    assert sorted(told_texts) == ["A", "B"]


def test_a_long_session_is_a_trajectory_of_its_length() -> None:
    """Two hundred turns: as many own steps, none copied."""
    answers, parent = [], None
    for number in range(200):
        said = InputMessage(role="user", text=f"question {number}")
        event = answered(f"g{number}", float(number), text=f"answer {number}", input=(said,))
        answers.append(ExportedAnswer(event, parent))
        parent = f"g{number}"
    (document,) = trajectories(ExportedSession("s", tuple(answers)))
    assert len(document["steps"]) == 400
    assert timedelta(seconds=199) == answers[-1].event.time - answers[0].event.time


if __name__ == "__main__":
    for name, writer in WRITERS.items():
        (CASES / f"{name}.jsonl").write_text(
            "".join(f"{one}\n" for one in lines(writer, two_ways()))
        )
        sys.stdout.write(
            json.dumps(json.loads(lines(writer, two_ways())[0]), indent=1)[:9000] + "\n"
        )
