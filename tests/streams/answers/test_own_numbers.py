"""A product's own numbers: with the answer, after the fact, taken back, in whatever order."""

from typing import Any

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, feedback, generation

from rlwd.streams.answers.answer_rows import answer_rows
from rlwd.streams.events.signals import Accepted, Measured, Outcome

SERVED = {"salt": "salt", "user_hash": "ann", "variant": "candidate"}


def own(ledger: Ledger, *names: str) -> Any:
    """Return the numbers of the one answer there is."""
    with ledger.store.reading() as view:
        (row,) = answer_rows(view, "policy", "salt", own=names)
    return row.own


def say(ledger: Ledger, name: str, signal: Any, at: float, **more: Any) -> None:
    ledger.take(feedback(name, "g", signal, at, **more), partition=FEEDBACK)


def test_a_number_comes_with_the_answer_or_later_and_the_later_one_counts(ledger: Ledger) -> None:
    """Of one name the last that was received counts; names that nobody gave are none."""
    ledger.take(generation("g", 10.0, numbers={"lines": 4, "cost": 0.5}, **SERVED))
    assert own(ledger, "lines", "cost", "heat") == (4.0, 0.5, None)
    say(ledger, "f1", Measured(name="lines", value=7.0), 11.0)
    say(ledger, "f2", Measured(name="lines", value=9.0), 12.0)
    say(ledger, "f3", Outcome(name="merged", value=1.0), 13.0)
    assert own(ledger, "lines", "cost", "merged") == (9.0, 0.5, 1.0)


def test_a_number_that_is_taken_back_leaves_the_one_that_came_with_the_answer(
    ledger: Ledger,
) -> None:
    """Feedback that another one replaces counts no more, whatever it said."""
    ledger.take(generation("g", 10.0, numbers={"lines": 4}, **SERVED))
    say(ledger, "f1", Measured(name="lines", value=7.0), 11.0)
    say(ledger, "f2", Accepted(), 12.0, replaces="f1")
    assert own(ledger, "lines") == (4.0,)


@pytest.mark.parametrize("together", [False, True])
def test_a_number_may_come_before_its_answer(ledger: Ledger, together: bool) -> None:
    """In the same poll or in one before."""
    said = feedback("f", "g", Measured(name="lines", value=7.0), 11.0)
    served = generation("g", 10.0, **SERVED)
    if together:
        ledger.take(said, served, partition=GENERATIONS)
    else:
        ledger.take(said, partition=FEEDBACK)
        ledger.take(served)
    assert own(ledger, "lines") == (7.0,)


def test_a_number_alone_decides_nothing(ledger: Ledger) -> None:
    """It is no reward: the answer waits for its decision as before."""
    ledger.take(generation("g", 10.0, **SERVED))
    say(ledger, "f", Measured(name="lines", value=7.0), 11.0)
    assert ledger.ask("SELECT reward, stage FROM episodes") == (None, "open")


def test_nobody_is_counted_who_did_not_agree(ledger: Ledger) -> None:
    """What is posted on an answer without consent is not kept; nor is it of another tenant."""
    ledger.take(generation("g", 10.0, consent=False, **SERVED))
    say(ledger, "f", Measured(name="lines", value=7.0), 11.0)
    assert own(ledger, "lines") == (None,)
