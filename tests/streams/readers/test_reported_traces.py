"""Files as people brought them: small inputs that could not be read once."""

from trace_cases import CASES

from rlwd.streams.events.event import FeedbackEvent, GenerationEvent
from rlwd.streams.events.signals import Accepted, Rated
from rlwd.streams.readers.formats import trace_format


def test_a_session_that_begins_with_a_summary() -> None:
    """The summary's line is the harness's own; the answer has its text, its call and what was asked."""
    (event,) = trace_format("claude-code")(CASES / "claude_code_with_a_summary.jsonl")
    assert isinstance(event, GenerationEvent)
    data = event.data
    assert (data.generation_id, data.session_id, data.text) == ("msg", "s", "yo")
    assert [(call.id, call.name, call.arguments) for call in data.tool_calls] == [
        ("t", "Bash", "{}")
    ]
    assert [(one.role, one.text) for one in data.input] == [("user", "hi")]


def test_scores_without_their_observations() -> None:
    """A thumb waits for its generation, by the observation's id."""
    (event,) = trace_format("langfuse")(CASES / "langfuse_scores_alone.jsonl")
    assert isinstance(event, FeedbackEvent)
    assert event.data.signal == Rated(value=1.0)
    assert (event.data.generation_id, event.data.session_id) == ("o1", "t1")


def test_one_unpaired_preference() -> None:
    """A good completion is an answer that was accepted."""
    answer, label = trace_format("kto")(CASES / "kto_one_row.jsonl")
    assert isinstance(answer, GenerationEvent)
    assert answer.data.text == "yo"
    assert isinstance(label, FeedbackEvent)
    assert label.data.signal == Accepted()
