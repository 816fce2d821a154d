"""Feedback that names a session or a reference finds its answers at the join, whichever comes first."""

from typing import Any

import pytest
from chains_by_hand import RULED, on_session, on_ticket, reach, rewards, with_spec
from ledger_by_hand import FEEDBACK, Ledger, feedback
from talks_by_hand import Talk, call, person

from rlwd.streams.events.signals import Accepted, Measured, Outcome, Rejected, Resolved
from rlwd.streams.join import erasure


@pytest.fixture
def ruled(ledger: Ledger) -> Ledger:
    """A ledger whose spec spreads outcomes at a discount, and settled matters over the chain."""
    return with_spec(ledger, RULED)


def test_an_outcome_of_a_session_reaches_its_answers_at_a_discount(ruled: Ledger) -> None:
    """The last answer has all of it; each before it half; what comes after the act has none."""
    talk = Talk("a")
    ruled.take(*(talk.turn(float(n)) for n in range(3)))
    sold = Outcome(name="sold", value=1.0)
    counts = ruled.take(on_session("f", sold, 5.0), partition=FEEDBACK)
    ruled.take(talk.turn(9.0))
    assert (counts.counts.accepted, counts.told.total()) == (1, 1)
    assert reach(ruled) == {
        "s.a0": [("outcome", 0.25)],
        "s.a1": [("outcome", 0.5)],
        "s.a2": [("outcome", 1.0)],
    }
    assert [row[0] for row in rewards(ruled)] == [1.0, 1.0, 1.0, None]


def test_a_signal_of_ones_own_stays_with_the_turn(ruled: Ledger) -> None:
    """A turn that was accepted, of a chain that ended badly, is worth something in between."""
    talk = Talk("a")
    ruled.take(*(talk.turn(float(n)) for n in range(2)))
    ruled.take(feedback("own", "s.a0", Accepted(), 2.5), partition=FEEDBACK)
    ruled.take(on_session("f", Outcome(name="sold", value=0.0), 5.0), partition=FEEDBACK)
    # Accepted 1 of weight 1, the outcome 0 of weight a half.
    assert [row[0] for row in rewards(ruled)] == [pytest.approx(1 / 1.5), 0.0]


@pytest.mark.parametrize("early", [True, False])
def test_feedback_waits_for_its_answers(ruled: Ledger, early: bool) -> None:
    """On a ticket whose answers come later, in two sessions, as on one whose answers are there."""
    one, two = Talk("one", session="p"), Talk("two", session="q", tokens=list(range(50, 90)))
    said = on_ticket("f", Resolved(), 9.0)
    if early:
        ruled.take(said, partition=FEEDBACK)
    ruled.take(one.turn(1.0, references={"ticket": "T1"}), one.turn(2.0))
    ruled.take(two.turn(3.0, references={"ticket": "T1", "order": "8"}))
    if not early:
        ruled.take(said, partition=FEEDBACK)
    assert reach(ruled) == {"p.one0": [("resolved", 1.0)], "q.two0": [("resolved", 1.0)]}


def test_what_no_answer_ever_comes_for_is_dead_lettered_by_name(ruled: Ledger) -> None:
    """The horizon of an orphan, a name that says which chain, and counts that add up."""
    ruled.take(
        on_ticket("f", Resolved(), 9.0), on_session("g", Resolved(), 9.0), partition=FEEDBACK
    )
    assert ruled.close(50.0) == 0
    assert ruled.close(1000.0) == 2
    with ruled.store.reading() as view:
        reasons = view.execute("SELECT reason FROM dead_letters ORDER BY reason").fetchall()
    assert reasons == [
        ("unknown_reference: ticket T1 had no answer within its horizon",),
        ("unknown_session: session s had no answer within its horizon",),
    ]
    assert ruled.ask("SELECT accepted, dead_lettered FROM offsets WHERE topic = 'feedback'") == (
        0,
        2,
    )
    # The answer that comes after all finds nothing.
    ruled.take(Talk("a").turn(1.0))
    assert reach(ruled) == {}


def test_a_late_answer_takes_its_place(ruled: Ledger) -> None:
    """The last one before the act moves, and so does every weight; numbers are counted once."""
    talk = Talk("a")
    raw = [talk.turn(float(n)) for n in range(3)]
    said = [
        on_session("f", Outcome(name="sold", value=1.0), 5.0),
        on_session("n", Measured(name="lines", value=7.0), 5.0),
        on_session("a", Accepted(), 5.0),
    ]
    ruled.take(*raw[:2])
    ruled.take(*said, partition=FEEDBACK)
    assert reach(ruled)["s.a1"] == [("accepted", 1.0), ("outcome", 1.0), ("measured", 1.0)]
    ruled.take(raw[2])
    assert reach(ruled) == {
        "s.a0": [("outcome", 0.25)],
        "s.a1": [("outcome", 0.5)],
        "s.a2": [("accepted", 1.0), ("outcome", 1.0), ("measured", 1.0)],
    }
    with ruled.store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, name, later FROM own_numbers WHERE later IS NOT NULL ORDER BY name"
        ).fetchall()
    assert rows == [("s.a2", "lines", 7.0), ("s.a2", "sold", 1.0)]


def test_tenants_are_apart_and_who_names_none_is_the_default(ruled: Ledger) -> None:
    """The same names in another tenant are another chain."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0, references={"ticket": "T1"}))
    ruled.take(
        on_ticket("f", Resolved(), 9.0, tenant="acme"),
        on_session("g", Resolved(), 9.0, tenant="acme"),
        partition=FEEDBACK,
    )
    assert reach(ruled) == {}
    ruled.take(on_ticket("f", Resolved(), 9.0, tenant=""), partition=FEEDBACK)
    assert reach(ruled) == {"s.a0": [("resolved", 1.0)]}


def test_another_tenants_record_of_the_same_id_gives_no_way_in(ruled: Ledger) -> None:
    """Whoever writes a record of an id that is taken cannot pull the answer into their chain."""
    ruled.take(Talk("a").turn(1.0))
    ruled.take(
        Talk("a")
        .turn(2.0, tenant="acme", references={"ticket": "T1"})
        .replace(b'"id":"s.a0"', b'"id":"other"')
    )
    ruled.take(on_ticket("f", Resolved(), 9.0, tenant="acme"), partition=FEEDBACK)
    assert reach(ruled) == {}


def test_a_duplicate_changes_nothing_and_too_much_is_refused(ruled: Ledger) -> None:
    """One id on one chain counts once; of one kind no more than the settings say."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0, references={"ticket": "T1"}))
    said = [on_ticket(f"f{n}", Resolved(), 9.0) for n in range(52)]
    first = ruled.take(*said[:10], *said[:10], partition=FEEDBACK).counts
    assert (first.accepted, first.duplicate) == (10, 10)
    rest = ruled.take(*said, partition=FEEDBACK).counts
    assert (rest.accepted, rest.duplicate, rest.dead_lettered) == (40, 10, 2)
    assert len(reach(ruled)["s.a0"]) == 50
    (reason,) = ruled.ask("SELECT reason FROM dead_letters ORDER BY reason LIMIT 1")
    assert reason == "too_much_feedback: ticket T1 has 50 of kind resolved already"


def test_what_another_one_replaces_reaches_nothing(ruled: Ledger) -> None:
    """A later outcome takes the place of an earlier one on the same chain, whichever comes first."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0))
    good, bad = (Outcome(name="sold", value=value) for value in (1.0, 0.0))
    ruled.take(on_session("f1", good, 3.0), partition=FEEDBACK)
    assert rewards(ruled)[0][0] == 1.0
    ruled.take(on_session("f2", bad, 4.0, replaces="f1"), partition=FEEDBACK)
    assert reach(ruled) == {"s.a0": [("outcome", 1.0)]}
    assert rewards(ruled)[0][0] == 0.0


def test_a_side_request_is_never_reached(ruled: Ledger) -> None:
    """Neither by its session nor by the reference that its request carried."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0, references={"ticket": "T1"}))
    ruled.take(
        Talk("side", tokens=list(range(9, 30))).turn(
            2.0, references={"ticket": "T1"}, side_request="title"
        )
    )
    ruled.take(
        on_ticket("f", Resolved(), 9.0), on_session("g", Resolved(), 9.0), partition=FEEDBACK
    )
    assert list(reach(ruled)) == ["s.a0"]


@pytest.mark.parametrize("late", [True, False])
def test_a_subagent_is_counted_once_through_what_started_it(ruled: Ledger, late: bool) -> None:
    """Its answers share the place of the answer whose call began it, though they carry the ticket too."""
    about: dict[str, Any] = {"references": {"ticket": "T1"}}
    main = Talk("a")
    first, second = main.turn(1.0, calls=(call("c1"),), **about), main.turn(5.0, **about)
    agent = Talk("agent", session="sub", tokens=list(range(500, 540)))
    own = [agent.turn(2.0, call_id="c1", **about), agent.turn(3.0, **about)]
    said = on_ticket("f", Outcome(name="sold", value=1.0), 9.0)
    if late:
        ruled.take(first, second)
        ruled.take(said, partition=FEEDBACK)
        ruled.take(own[1])
        ruled.take(own[0])
    else:
        ruled.take(first, *own, second)
        ruled.take(said, partition=FEEDBACK)
    assert reach(ruled) == {
        "s.a0": [("outcome", 0.5)],
        "s.a1": [("outcome", 1.0)],
        "sub.agent0": [("outcome", 0.5)],
        "sub.agent1": [("outcome", 0.5)],
    }


def test_late_feedback_on_a_chain_counts_as_late_where_an_answer_is_final(ruled: Ledger) -> None:
    """What is not decided yet is revised; the rest is recorded beside it."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0))
    ruled.close(150.0)
    ruled.take(talk.turn(160.0))
    ruled.take(on_session("f", Outcome(name="sold", value=1.0), 170.0), partition=FEEDBACK)
    assert rewards(ruled) == [(None, "censored:no_decision"), (1.0, "waiting")]
    assert ruled.ask("SELECT late FROM episodes WHERE generation_id = 's.a0'") == (1,)


def test_erasure_reaches_what_was_said_of_a_persons_chain(ruled: Ledger) -> None:
    """Feedback on it holds nothing any more, and an answer that is read later brings none back."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0, user_hash="ada", references={"ticket": "T1"}))
    secret = Outcome(name="sold", value=1.0, unit="secret")
    waits = on_ticket("w", secret, 9.0, ticket="T2", user_hash="ada")
    ruled.take(on_ticket("f", secret, 9.0), waits, partition=FEEDBACK)
    with ruled.store.transaction() as tx:
        erasure.erase(tx, "policy", "ada", 20.0)
    ruled.take(on_ticket("x", secret, 9.0, user_hash="ada"), partition=FEEDBACK)
    ruled.take(talk.turn(2.0, user_hash="ada", references={"ticket": "T2"}))
    with ruled.store.reading() as view:
        held = view.execute("SELECT payload FROM chain_feedback").fetchall()
        held += view.execute("SELECT payload FROM feedback").fetchall()
        held += view.execute("SELECT value FROM dead_letters").fetchall()
        assert view.execute("SELECT COUNT(*) FROM referenced").fetchone() == (0,)
    assert len(held) >= 4
    assert not [row for row in held if b"secret" in bytes(row[0])]


def test_a_message_of_a_person_is_about_the_last_answer(ruled: Ledger) -> None:
    """A rejection of the session, by the default rule, is of the last answer alone."""
    talk = Talk("a")
    ruled.take(talk.turn(1.0, person("a")), talk.turn(2.0, person("b")))
    ruled.take(on_session("f", Rejected(), 5.0), partition=FEEDBACK)
    assert [row[0] for row in rewards(ruled)] == [None, 0.0]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 1, 0)])
def test_an_outcome_reaches_what_a_session_was_compacted_from(
    ruled: Ledger, order: tuple[int, ...]
) -> None:
    """Under another session's name the conversation is one chain, its summary included."""
    summary = "The person wants a shop for bread. " * 8
    old, new = Talk("a"), Talk("b", session="t", tokens=list(range(900, 940)))
    raw = [
        old.turn(1.0, user_hash="ada"),
        old.turn(2.0, user_hash="ada", text=summary),
        new.turn(3.0, person(f"So far: {summary}"), user_hash="ada"),
        old.turn(4.0, user_hash="ada"),
    ]
    ruled.take(
        on_session("f", Outcome(name="sold", value=1.0), 9.0, session="t"), partition=FEEDBACK
    )
    for place in order:
        ruled.take(raw[place])
    assert reach(ruled) == {
        "s.a0": [("outcome", 0.25)],
        "s.a1": [("outcome", 0.5)],
        "t.b0": [("outcome", 1.0)],
    }
