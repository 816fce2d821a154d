"""Effort: the length penalty's values, its limits, and what an answer's amounts are."""

import math

import pytest
from episodes_by_hand import episode
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.costs.effort import amounts, effort, length_penalty
from rlwd.streams.events.episode import Episode
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.tool_use import ToolCall
from rlwd.streams.events.usage import Amounts, Usage


@pytest.mark.parametrize(
    ("x", "k", "q", "worth"),
    [
        # The values that are known, for k = 0.1 and q = 0.5.
        (0, 0.1, 0.5, 0.0),
        (1, 0.1, 0.5, 0.98),
        (10, 0.1, 0.5, 8.3),
        (100, 0.1, 0.5, 46),
        (1000, 0.1, 0.5, 181),
        (1000, 0.1, 0.0, 1000),
        (1000, 0.0, 0.5, 1000),
        (1.5, 5e-324, 0.5, 1.5),
        (1000, 0.1, 1.0, math.log(101) / 0.1),
        # 1 / (k (q - 1)) is its bound.
        (1e12, 0.1, 2.0, 10.0),
    ],
)
def test_the_formulas_values(x: float, k: float, q: float, worth: float) -> None:
    """Rounded as they are published."""
    assert length_penalty(x, k, q) == pytest.approx(worth, rel=8e-3)


@given(st.floats(0, 1e7), st.floats(1e-6, 10), st.floats(-9, -3))
def test_the_limits_are_met_without_a_step(x: float, k: float, power: float) -> None:
    """As q tends to 1 from both sides the values tend to the logarithm, and as k tends to 0 to x."""
    near, limit = 10.0**power, math.log1p(k * x) / k
    bent = near * math.log1p(k * x)
    assert length_penalty(x, k, 1.0) == pytest.approx(limit, rel=1e-12)
    # To the second order: a step of half the bend, where another formula took over, would be seen.
    below, above = limit * (1.0 + bent / 2.0), limit * (1.0 - bent / 2.0)
    assert length_penalty(x, k, 1.0 - near) == pytest.approx(below, rel=bent**2 + 1e-12)
    assert length_penalty(x, k, 1.0 + near) == pytest.approx(above, rel=bent**2 + 1e-12)
    assert length_penalty(x, k * 1e-9, 0.5) == pytest.approx(x, rel=k * 1e-9 * x + 1e-12)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 10), st.floats(0, 3))
def test_more_never_costs_less_and_never_more_than_the_first(
    x: float, more: float, k: float, q: float
) -> None:
    """Growing and concave: at least 0, at most x, and a further token costs at most its slope."""
    before, after = length_penalty(x, k, q), length_penalty(x + more, k, q)
    slack = 1e-9 * (1.0 + x + more)
    assert 0.0 <= before <= after + slack
    assert after - before <= more * (1.0 + k * x) ** -q + slack


CALLS = (
    ToolCall(id="c1", name="run", arguments='{"command": "x"}', parses=True, fits=True),
    ToolCall(id="c2", name="s", arguments="", parses=False, fits=None),
)
ANSWERED = Generation(
    generation_id="g",
    session_id="s",
    reasoning="a" * 60,
    text="b" * 20,
    tool_calls=CALLS,
    input=(InputMessage(role="tool", text="c" * 400), InputMessage(role="user", text="d" * 99)),
    usage=Usage(completion_tokens=50),
    finish_reason="stop",
)


def test_what_was_written_is_shared_out_by_characters() -> None:
    """Of 100 characters in 50 tokens 60 are thought, 20 call and 20 answer; 400 were returned."""
    assert amounts(ANSWERED) == Amounts(30.0, 10.0, 100.0, 10.0, 2, 1)


def test_each_amount_has_its_weight() -> None:
    """With k = 0 the penalty is the weighted sum itself."""
    some = Episode(generation=ANSWERED, received_at=0.0, feedback=())
    assert effort(some, k=0.0) == 50.0
    assert effort(some, k=0.0, reasoning=0.0, call_tokens=0.0, answer=0.0, output_tokens=0.5) == 50
    every = effort(
        some,
        k=0.0,
        reasoning=2.0,
        call_tokens=3.0,
        output_tokens=0.1,
        answer=5.0,
        calls=7.0,
        turns=11.0,
    )
    assert every == 60 + 30 + 10 + 50 + 14 + 11
    assert effort(some) == length_penalty(50.0, 0.001, 0.5)


def test_without_texts_all_is_answer_and_without_counts_nothing_is_known() -> None:
    """Tokens that nobody split are the answer's; without consent, or uncounted, there is no value."""
    bare = {"text": "", "completion_token_ids": (5, 6, 7), "finish_reason": "stop"}
    assert effort(episode(**bare), k=0.0) == 3.0
    assert effort(episode(**bare, consent=False)) is None
    assert effort(episode(**bare, captured=False)) is None
    assert effort(episode()) is None
