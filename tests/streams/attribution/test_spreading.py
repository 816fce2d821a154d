"""Feedback that names one answer reaches the chain up to it where the spec says so."""

import pytest
from chains_by_hand import SPREADING, reach, rewards, with_spec
from ledger_by_hand import FEEDBACK, Ledger, feedback
from talks_by_hand import Talk, call

from rlwd.streams.events.signals import Outcome, Rated
from rlwd.streams.join import erasure

MERGED = Outcome(name="merged", value=0.0)


@pytest.fixture
def spreading(ledger: Ledger) -> Ledger:
    """A ledger whose spec spreads a merge, and ratings."""
    return with_spec(ledger, SPREADING)


@pytest.mark.parametrize("early", [True, False])
def test_it_reaches_what_led_to_the_answer_and_nothing_after(
    spreading: Ledger, early: bool
) -> None:
    """The named answer has it as its own; each before it half of the next one; a later turn none."""
    talk, agent = Talk("a"), Talk("agent", session="sub", tokens=list(range(500, 540)))
    raw = [talk.turn(1.0), talk.turn(2.0, calls=(call("c"),)), agent.turn(2.5, call_id="c")]
    raw += [talk.turn(3.0), talk.turn(9.0)]
    said = feedback("f", "s.a2", MERGED, 5.0)
    if early:
        spreading.take(said, partition=FEEDBACK)
    spreading.take(*raw)
    if not early:
        spreading.take(said, partition=FEEDBACK)
    assert reach(spreading) == {
        "s.a0": [("outcome", 0.25)],
        "s.a1": [("outcome", 0.5)],
        "sub.agent0": [("outcome", 0.5)],
    }
    assert [row[0] for row in rewards(spreading)] == [0.0, 0.0, 0.0, None, 0.0]
    assert spreading.ask("SELECT SUM(accepted) FROM offsets WHERE topic = 'feedback'") == (1,)


def test_another_name_or_kind_stays_with_its_answer(spreading: Ledger) -> None:
    """As it was before specs could say so."""
    talk = Talk("a")
    spreading.take(talk.turn(1.0), talk.turn(2.0))
    spreading.take(feedback("f", "s.a1", Outcome(name="sold", value=1.0), 5.0), partition=FEEDBACK)
    assert reach(spreading) == {}


def test_what_is_replaced_or_refused_spreads_no_more(spreading: Ledger) -> None:
    """A later one takes its place on all of them; beyond the cap nothing of it is left anywhere."""
    talk = Talk("a")
    spreading.take(talk.turn(1.0), talk.turn(2.0))
    spreading.take(feedback("f1", "s.a1", MERGED, 5.0), partition=FEEDBACK)
    better = Outcome(name="merged", value=1.0)
    spreading.take(feedback("f2", "s.a1", better, 6.0, replaces="f1"), partition=FEEDBACK)
    assert reach(spreading) == {"s.a0": [("outcome", 0.5)]}
    assert [row[0] for row in rewards(spreading)] == [1.0, 1.0]
    many = [feedback(f"r{n:02}", "s.a1", Rated(value=1.0), 7.0) for n in range(52)]
    spreading.take(*many, partition=FEEDBACK)
    assert len(reach(spreading)["s.a0"]) == 1 + 50


def test_what_comes_too_late_is_counted_and_read_by_comparisons(spreading: Ledger) -> None:
    """An answer in a batch keeps its reward; what a later one's outcome says of it is recorded."""
    talk = Talk("a")
    spreading.take(talk.turn(1.0), talk.turn(2.0))
    spreading.take(feedback("f", "s.a0", Rated(value=1.0), 3.0), partition=FEEDBACK)
    with spreading.store.transaction() as tx:
        tx.execute(
            "UPDATE episodes SET stage = 'sealed', batch_id = 1 WHERE generation_id = 's.a0'"
        )
    spreading.take(feedback("g", "s.a1", MERGED, 5.0), partition=FEEDBACK)
    row = spreading.ask(
        "SELECT reward, late, late_reward FROM episodes WHERE generation_id = 's.a0'"
    )
    assert row == (1.0, 1, pytest.approx(1.0 / 1.5))


def test_erasing_a_person_takes_the_copies_too(spreading: Ledger) -> None:
    """What was said of their answer stands nowhere any more."""
    talk = Talk("a")
    secret = Outcome(name="merged", value=1.0, unit="secret")
    spreading.take(talk.turn(1.0, user_hash="ada"), talk.turn(2.0, user_hash="ada"))
    spreading.take(feedback("f", "s.a1", secret, 5.0), partition=FEEDBACK)
    outcomes = "SELECT COUNT(*) FROM feedback WHERE kind = 'outcome'"
    assert spreading.ask(outcomes) == (2,)
    with spreading.store.transaction() as tx:
        erasure.erase(tx, "policy", "ada", 20.0)
    with spreading.store.reading() as view:
        held = view.execute("SELECT payload FROM feedback WHERE kind = 'outcome'").fetchall()
    assert len(held) == 1
    assert b"secret" not in bytes(held[0][0])


@pytest.mark.parametrize(
    ("merged", "left"),
    [(False, {"s.a1": 10, "s.a2": 40}), (True, {"s.a1": 40, "s.a2": 10})],
)
def test_an_answer_has_so_much_of_a_kind_that_others_have(
    spreading: Ledger, merged: bool, left: dict[str, int]
) -> None:
    """Of what weighs the same the last, else of the nearest: a long session's copies do not grow with
    its square."""
    talk = Talk("a")
    spreading.take(talk.turn(1.0), talk.turn(2.0), talk.turn(3.0))
    for name, at in (("s.a2", 9.0), ("s.a1", 5.0)):
        said = [MERGED if merged else Rated(value=1.0) for _ in range(40)]
        many = [feedback(f"r{n:02}", name, one, at + n / 100) for n, one in enumerate(said)]
        spreading.take(*many, partition=FEEDBACK)
    with spreading.store.reading() as view:
        rows = view.execute(
            "SELECT spread_of, COUNT(*) FROM feedback WHERE generation_id = 's.a0'"
            " AND spread_of IS NOT NULL GROUP BY spread_of"
        ).fetchall()
    assert dict(rows) == left
