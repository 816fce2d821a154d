"""Habits that cost, and what asking costs by what the person then did."""

from typing import Any

import pytest
from episodes_by_hand import did, episode

from rlwd.rewards.costs.asking import asking
from rlwd.rewards.costs.habits import (
    broken_calls,
    repeated,
    thinking_in_comments,
    todos_left,
    tool_collapse,
)
from rlwd.rewards.spec.registry import COSTS
from rlwd.streams.events.episode import Timed
from rlwd.streams.events.judged import Judged
from rlwd.streams.events.signals import (
    Accepted,
    FollowedUp,
    Interrupted,
    Regenerated,
    Rejected,
)
from rlwd.streams.events.tool_use import OfferedTool, ToolCall

QUESTION = {"text": "Which of the two files do you mean?", "finish_reason": "stop"}
OFFERED = (OfferedTool(name="run", digest="1"), OfferedTool(name="read", digest="2"))
THOUGHT = "# wait, let me think: maybe we could sort first, but then what if the list is empty? hmm so try it"


def calls(*names: str, parses: bool = True) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=f"c{at}", name=name, arguments="{}", parses=parses, fits=None)
        for at, name in enumerate(names)
    )


@pytest.mark.parametrize(
    ("feedback", "cost"),
    [
        # Nobody answered: they left.
        ((), 1.0),
        ((did(FollowedUp(text="the first"), 2.0),), 0.25),
        ((did(FollowedUp(text="the first", statement="direction"), 2.0),), 0.25),
        ((did(FollowedUp(text="just do it", statement="dissatisfied"), 2.0),), 1.0),
        ((did(FollowedUp(text="I said both", statement="correction"), 2.0),), 1.0),
        ((did(FollowedUp(text="ok"), 2.0), did(Rejected(), 3.0)), 1.0),
        ((did(Interrupted(), 1.0),), 1.0),
        ((did(FollowedUp(text="ok"), 2.0), did(Regenerated(), 3.0)), 1.0),
        ((did(FollowedUp(text="ok"), 2.0), did(Accepted(), 3.0)), 0.25),
        # What was said last counts, not what came last.
        (
            (
                did(FollowedUp(text="no", statement="dissatisfied"), 1.0, received=9.0),
                did(FollowedUp(text="fine, the first", statement="direction"), 2.0),
            ),
            0.25,
        ),
    ],
)
def test_a_question_costs_by_what_people_then_did(feedback: tuple[Timed, ...], cost: float) -> None:
    """Little where they answered it, all where they left, turned it down, or had wanted it done."""
    assert asking(episode(*feedback, **QUESTION)) == cost


@pytest.mark.parametrize(
    ("value", "statement", "cost"),
    [
        (0.1, None, 1.0),
        (0.9, None, 0.25),
        # What the product itself says of the message wins over what was read in it.
        (0.1, "direction", 0.25),
        (0.9, "dissatisfied", 1.0),
    ],
)
def test_a_reading_of_the_message_tells_whether_the_question_was_wanted(
    value: float, statement: Any, cost: float
) -> None:
    """Nobody posts what kind of message it was: the daemon's reader says whether it is a complaint."""
    direction: Any = "dissatisfied" if value < 0.5 else "satisfied"
    read = Judged(direction=direction, value=value, confidence=0.9, reader="rules@1", message="g2")
    said = FollowedUp(text="just do it", statement=statement)
    assert asking(episode(did(said, 2.0), did(read, 5.0), **QUESTION)) == cost


def test_what_acts_costs_nothing() -> None:
    """An answer, and a call of a tool beside a question; without consent nobody knows."""
    assert asking(episode(text="It is the first file.", finish_reason="stop")) == 0.0
    assert asking(episode(tool_calls=calls("run"), **QUESTION)) == 0.0
    assert asking(episode(consent=False, **QUESTION)) is None
    assert asking(episode(did(FollowedUp(text="a"), 1.0), **QUESTION), answered=0.0) == 0.0


@pytest.mark.parametrize(
    ("cost", "record", "worth"),
    [
        (todos_left, {"text": "```py\nx = 1  # TODO: the rest\n```"}, 1.0),
        (todos_left, {"text": "Done."}, 0.0),
        (thinking_in_comments, {"text": f"```py\n{THOUGHT}\n```"}, 1.0),
        (thinking_in_comments, {"text": "```py\nx = 1  # one\n```"}, 0.0),
        (tool_collapse, {"tool_calls": calls(*["run"] * 9, "read"), "tools": OFFERED}, 0.5),
        (tool_collapse, {"tool_calls": calls(*["run"] * 10), "tools": OFFERED}, 1.0),
        (tool_collapse, {"tool_calls": calls("run", "read") * 2, "tools": OFFERED}, 0.0),
        (tool_collapse, {"tool_calls": calls("run"), "tools": OFFERED}, None),
        (repeated, {"text": "a b c d e f g h i"}, 0.0),
        (repeated, {"text": "na " * 400}, 1.0),
        (broken_calls, {"tool_calls": calls("run") + calls("run", parses=False)}, 0.5),
        (broken_calls, {"text": "no call"}, None),
    ],
)
def test_each_habit_has_its_cost(cost: Any, record: dict[str, Any], worth: float | None) -> None:
    """Nothing up to what is allowed; beyond it the more the dearer."""
    value = cost(episode(**{"finish_reason": "stop", "text": "", **record}))
    assert value == (None if worth is None else pytest.approx(worth, abs=0.05))


@pytest.mark.parametrize("name", sorted(COSTS))
def test_no_cost_is_charged_for_what_nobody_may_read(name: str) -> None:
    """Without consent the record holds no answer, and a cost no value."""
    assert COSTS[name](episode(consent=False, text="", finish_reason="stop")) is None


def test_a_call_that_the_engine_left_in_the_text_is_broken() -> None:
    """A policy that writes no JSON makes no call that anybody could count."""
    unread = '<tool_call>\n{"name": "run", "arguments": {x}}\n</tool_call>'
    told = {"tools": OFFERED, "finish_reason": "stop"}
    assert broken_calls(episode(text=unread, **told)) == 1.0
    assert broken_calls(episode(text=unread, tool_calls=calls("run"), **told)) == 0.5
    assert broken_calls(episode(text="It is done.", **told)) is None
