"""Answers that nobody decided on, where the spec gives them a value (`[undecided]`)."""

import math
from pathlib import Path

import msgspec
import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation, open_ledger

from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec
from rlwd.streams.answers.answer_rows import LATEST
from rlwd.streams.events.signals import Accepted, Copied, FollowedUp, Rejected
from rlwd.streams.events.tool_use import OfferedTool, ToolCall

ROW = "SELECT reward, stage, fate, undecided FROM episodes WHERE generation_id = ?"
SILENCE = Spec(
    name="silence",
    parts={"accepted": 1.0},
    decision={"default": 100.0},
    horizons={"accepted": 100.0, "rejected": 500.0},
    undecided={"title": 0.4},
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger whose spec values silent titles."""
    return open_ledger(tmp_path / "rlwd.db", SILENCE)


def test_silence_is_worth_its_value_once_the_decision_is_over(ledger: Ledger) -> None:
    """By segment, and not a moment before; a segment without a value is censored as ever."""
    ledger.take(generation("t", 0.0, segment="title"), generation("r", 0.0, segment="reply"))
    ledger.close(read_past=99.0)
    assert ledger.ask(ROW, "t") == (None, "open", "waiting", 0)
    ledger.close(read_past=100.5)
    assert ledger.ask(ROW, "t") == (0.4, "ready", "waiting", 1)
    assert ledger.ask(ROW, "r") == (None, "closed", "censored:no_decision", 0)


def test_it_stays_undecided_to_a_comparison(ledger: Ledger) -> None:
    """What it is trained on is no decision: a comparison reads it as undecided."""
    ledger.take(generation("t", 0.0, segment="title"))
    ledger.close(read_past=101.0)
    assert ledger.ask(f"SELECT {LATEST} FROM episodes") == (None,)
    ledger.take(feedback("f", "t", Rejected(), 300.0), partition=FEEDBACK)
    assert ledger.ask(f"SELECT {LATEST}, undecided FROM episodes") == (0.0, 0)


def test_a_decision_within_its_own_horizon_still_counts(ledger: Ledger) -> None:
    """Until it is sealed a late decision takes the place of the value, and a late nothing does not."""
    ledger.take(*(generation(name, 0.0, segment="title") for name in "abc"))
    ledger.close(read_past=101.0)
    ledger.take(
        feedback("fa", "a", Rejected(), 300.0),
        feedback("fb", "b", Copied(), 300.0),
        feedback("fc", "c", Accepted(), 300.0),
        partition=FEEDBACK,
    )
    ledger.close(read_past=302.0)
    assert [ledger.ask(ROW, name) for name in "abc"] == [
        (0.0, "ready", "waiting", 0),
        (0.4, "ready", "waiting", 1),
        (0.4, "ready", "waiting", 1),
    ], "an acceptance after its horizon is none"


def test_it_waits_until_its_spec_says_ready(tmp_path: Path) -> None:
    """A segment that is ready later than its decision is over waits with its value."""
    spec = Spec(
        name="x",
        parts={"accepted": 1.0},
        decision={"default": 100.0},
        ready={"default": 200.0},
        undecided={"default": 0.25},
    )
    ledger = open_ledger(tmp_path / "rlwd.db", spec)
    ledger.take(generation("g", 0.0))
    ledger.close(read_past=101.0)
    assert ledger.ask(ROW, "g") == (0.25, "scored", "waiting", 1)
    ledger.close(read_past=201.0)
    assert ledger.ask(ROW, "g") == (0.25, "ready", "waiting", 1)


def test_what_may_not_be_trained_on_stays_out(ledger: Ledger) -> None:
    """A rule that excludes an answer excludes it silent, too, by name; forgotten ones are censored."""
    ledger.take(
        generation("greedy", 0.0, segment="title", sampling={"temperature": 0.0}),
        generation("gone", 0.0, segment="title"),
    )
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET content = NULL WHERE generation_id = 'gone'")
    ledger.close(read_past=math.inf)
    assert ledger.ask(ROW, "greedy")[1:3] == ("closed", "excluded:greedy")
    assert ledger.ask(ROW, "gone")[1:3] == ("closed", "censored:no_decision")


def test_a_question_that_nobody_answered_is_never_dropped(tmp_path: Path) -> None:
    """By the shipped spec it is worth 0 once its decision is over; one that was answered, a question
    without tools to act with, and an act that nobody looked at end as undecided."""
    ledger = open_ledger(tmp_path / "rlwd.db", load_spec(DEFAULT_SPEC))
    asks = {"text": "Which of the two files do you mean?"}
    offered = (OfferedTool(name="edit", digest="1"),)
    ledger.take(
        generation("left", 0.0, tools=offered, **asks),
        generation("complained of", 0.0, tools=offered, **asks),
        generation("answered", 0.0, tools=offered, **asks),
        generation("chat", 0.0, **asks),
        generation("act", 0.0, tools=offered),
        generation("by a tool", 0.0, tools=offered, tool_calls=(_call("ask_user"), _call("edit"))),
        generation("edit", 0.0, tools=offered, tool_calls=(_call("edit"),), **asks),
    )
    ledger.take(
        feedback("f1", "answered", FollowedUp(text="the first", statement="direction"), 9.0),
        feedback("f2", "complained of", FollowedUp(text="do it", statement="dissatisfied"), 9.0),
        partition=FEEDBACK,
    )
    ledger.close(read_past=3601.0)
    dropped = (None, "closed", "censored:no_decision", 0)
    assert [ledger.ask(ROW, name) for name in ("left", "complained of", "by a tool")] == [
        (0.0, "ready", "waiting", 1)
    ] * 3
    assert [ledger.ask(ROW, name) for name in ("answered", "chat", "act", "edit")] == [dropped] * 4


def test_what_has_no_value_ends_where_silence_has_one(tmp_path: Path) -> None:
    """An answer that was shown and not decided on is censored once, and not looked at for ever."""
    spec = Spec(name="x", parts={"show_or_silent": 1.0}, decision={"default": 100.0})
    ledger = open_ledger(tmp_path / "rlwd.db", spec)
    ledger.take(generation("shown", 0.0))
    assert ledger.close(read_past=101.0) == 1
    assert ledger.ask(ROW, "shown") == (None, "closed", "censored:no_decision", 0)
    assert ledger.close(read_past=102.0) == 0


@pytest.mark.parametrize(
    "said",
    [b'{"data": {}}', b'{"data": {"tools": [{}], "tool_calls": [{"name": "edit"}]}}'],
    ids=["a chat", "an agent that acts"],
)
def test_of_what_is_no_agents_question_nothing_else_is_read(tmp_path: Path, said: bytes) -> None:
    """Most of what nobody decides on is none: it ends without its record being decoded."""
    ledger = open_ledger(tmp_path / "rlwd.db", load_spec(DEFAULT_SPEC))
    ledger.take(generation("g", 0.0, text="Which of the two?"))
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE contents SET payload = ?", (said,))
    ledger.close(read_past=3601.0)
    assert ledger.ask(ROW, "g") == (None, "closed", "censored:no_decision", 0)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE contents SET payload = ?", (b'{"data": {"tools": [{}]}}',))
        tx.execute("UPDATE episodes SET stage = 'open', fate = 'waiting'")
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        ledger.close(read_past=3601.0)


def _call(name: str) -> ToolCall:
    return ToolCall(id="c", name=name, arguments="{}", parses=True, fits=True)
