"""Chain: which answers an act reaches, and with which weight."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.streams.attribution.chain import MOST_ANSWERS, ChainAct, ChainAnswer, reached
from rlwd.streams.events.episode import Attribution, AttributionRule

CHAIN, LAST, HALF = (
    AttributionRule("chain"),
    AttributionRule("last"),
    AttributionRule("discount", 0.5),
)


def answers(*times: float) -> list[ChainAnswer]:
    return [ChainAnswer(f"g{at:g}", at, "ada") for at in times]


def weights(found: dict[str, Attribution]) -> dict[str, float]:
    return {name: one.weight for name, one in found.items()}


def test_the_last_answer_before_the_act_or_all_of_them() -> None:
    """What was answered after the act is reached by no rule."""
    chain, act = answers(1, 2, 3, 9), ChainAct(acted=5.0, received=5.5)
    assert weights(reached(chain, act, LAST)) == {"g3": 1.0}
    assert weights(reached(chain, act, CHAIN)) == {"g1": 1.0, "g2": 1.0, "g3": 1.0}
    assert weights(reached(chain, act, HALF)) == {"g1": 0.25, "g2": 0.5, "g3": 1.0}


def test_a_clock_that_is_behind_loses_nothing() -> None:
    """An act that says it was before all answers is about those that came before its receipt."""
    act = ChainAct(acted=0.0, received=2.5)
    assert weights(reached(answers(1, 2, 3), act, LAST)) == {"g2": 1.0}
    assert reached(answers(3), act, LAST) == {}


def test_a_subagents_answers_have_the_weight_of_what_started_them() -> None:
    """They make no way longer, and the last answer is never one of theirs."""
    chain = [*answers(1, 2, 3), *(ChainAnswer(f"s{n}", 1.5, "", False, "g1") for n in range(9))]
    late = ChainAnswer("late", 6.0, "", False, "g1")
    act = ChainAct(acted=5.0, received=5.0)
    found = reached([*chain, late], act, HALF)
    assert weights(found) == {"g1": 0.25, "g2": 0.5, "g3": 1.0, **{f"s{n}": 0.25 for n in range(9)}}
    assert found["s0"] == Attribution(rule="discount", weight=0.25, steps=2, through="g1")
    assert weights(reached([*chain, late], act, LAST)) == {"g3": 1.0}


def test_a_session_is_of_one_person_and_a_reference_need_not_be() -> None:
    """Where a product calls everybody's session alike, an act is about whom the last answer was to."""
    chain = [
        ChainAnswer("a", 1.0, "ada"),
        ChainAnswer("b", 2.0, "bob"),
        ChainAnswer("c", 3.0, "ada"),
    ]
    assert set(reached(chain, ChainAct(4.0, 4.0), CHAIN)) == {"a", "c"}
    assert set(reached(chain, ChainAct(4.0, 4.0, "bob"), CHAIN)) == {"b"}
    assert set(reached(chain, ChainAct(4.0, 4.0, one_person=False), CHAIN)) == {"a", "b", "c"}
    assert reached(chain, ChainAct(4.0, 4.0, "eve"), CHAIN) == {}
    sub = [ChainAnswer("s", 1.5, "mallory", True, "a"), ChainAnswer("t", 1.5, "x", False, "a")]
    assert set(reached([*chain, *sub], ChainAct(4.0, 4.0), CHAIN)) == {"a", "c", "t"}


@given(
    count=st.integers(1, 2 * MOST_ANSWERS),
    discount=st.floats(0.01, 0.99),
    seed=st.randoms(use_true_random=False),
)
def test_discounted_weights_sum_as_documented(count: int, discount: float, seed: Random) -> None:
    """(1 - g^n) / (1 - g) over the last n answers, falling with the distance, in any order of reading."""
    chain = answers(*range(count))
    act, rule = ChainAct(1e9, 1e9), AttributionRule("discount", discount)
    found = reached(chain, act, rule)
    n = min(count, MOST_ANSWERS)
    told = [one.weight for one in sorted(found.values(), key=lambda one: one.steps)]
    assert math.fsum(told) == pytest.approx((1 - discount**n) / (1 - discount))
    assert told == sorted(told, reverse=True)
    seed.shuffle(chain)
    assert reached(chain, act, rule) == found
