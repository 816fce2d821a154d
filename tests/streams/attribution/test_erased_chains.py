"""Erasing a person reaches feedback on their sessions and references, whatever it reached by then."""

import pytest
from chains_by_hand import RULED, on_session, on_ticket, with_spec
from ledger_by_hand import FEEDBACK, Ledger, generation

from rlwd.streams.events.signals import FollowedUp
from rlwd.streams.join.erasure import erase
from rlwd.streams.join.fate import JoinSettings

SECRET = "the blue house by the lake"


@pytest.fixture(autouse=True)
def ruled(ledger: Ledger) -> None:
    """On both state databases, by a spec that spreads what is said of a chain."""
    ledger.joiner = with_spec(ledger, RULED).joiner


def held(ledger: Ledger) -> list[str]:
    """Return where the words still stand."""
    found = list[str]()
    with ledger.store.reading() as view:
        for table, column in (
            ("chain_feedback", "payload"),
            ("feedback", "payload"),
            ("dead_letters", "value"),
            ("contents", "payload"),
        ):
            rows = view.execute(f"SELECT {column} FROM {table}").fetchall()
            found += [table for (value,) in rows if value and SECRET.encode() in bytes(value)]
    return found


def forget(ledger: Ledger, user: str) -> None:
    with ledger.store.transaction() as tx:
        erase(tx, "policy", user, 1e6)


@pytest.mark.parametrize("about", [on_session, on_ticket])
def test_feedback_that_was_replaced_is_forgotten(ledger: Ledger, about: object) -> None:
    """It reaches no answer any more, and says all the same what it said."""
    assert callable(about)
    ledger.take(
        generation("g1", 1.0, user_hash="ada", session_found="named", references={"ticket": "T1"}),
        generation("g2", 1.0, user_hash="eve", session_id="s2", session_found="named"),
    )
    ledger.take(about("f1", FollowedUp(text=SECRET), 2.0), partition=FEEDBACK)
    ledger.take(about("f2", FollowedUp(text="no"), 3.0, replaces="f1"), partition=FEEDBACK)
    forget(ledger, "eve")
    assert held(ledger) == ["chain_feedback"]
    forget(ledger, "ada")
    assert held(ledger) == []


@pytest.mark.parametrize("about", [on_session, on_ticket])
def test_feedback_beyond_the_cap_is_forgotten(ledger: Ledger, about: object) -> None:
    """A dead letter with what a person wrote is a copy of it."""
    assert callable(about)
    ledger.joiner.settings = JoinSettings(feedback_per_kind=1)
    ledger.take(
        generation("g1", 1.0, user_hash="ada", session_found="named", references={"ticket": "T1"})
    )
    ledger.take(about("f1", FollowedUp(text="no"), 2.0), partition=FEEDBACK)
    ledger.take(about("f2", FollowedUp(text=SECRET), 3.0), partition=FEEDBACK)
    assert held(ledger) == ["dead_letters"]
    forget(ledger, "ada")
    assert held(ledger) == []


def test_feedback_that_found_no_answer_is_forgotten(ledger: Ledger) -> None:
    """What names a person is about them, whether or not an answer to them ever came."""
    ledger.take(
        on_session("f1", FollowedUp(text=SECRET), 2.0, user_hash="ada"),
        on_session("f2", FollowedUp(text="no"), 2.0, user_hash="eve"),
        partition=FEEDBACK,
    )
    ledger.close(1e6)
    assert held(ledger) == ["dead_letters"]
    forget(ledger, "eve")
    assert held(ledger) == ["dead_letters"]
    forget(ledger, "ada")
    assert held(ledger) == []


def test_feedback_of_somebody_else_in_the_same_chain_stays(ledger: Ledger) -> None:
    """Two people on one ticket: what reaches the other's answer is the other's."""
    ticket = {"ticket": "T1"}
    ledger.take(
        generation("g1", 1.0, user_hash="ada", references=ticket),
        generation("g2", 2.0, user_hash="eve", references=ticket),
    )
    ledger.take(on_ticket("f1", FollowedUp(text=SECRET), 3.0), partition=FEEDBACK)
    forget(ledger, "ada")
    assert set(held(ledger)) == {"chain_feedback", "feedback"}


def test_feedback_on_an_erased_person_that_comes_later_is_not_kept(ledger: Ledger) -> None:
    """It is counted, and of what it says nothing is left."""
    forget(ledger, "ada")
    ledger.take(on_session("f1", FollowedUp(text=SECRET), 2.0, user_hash="ada"), partition=FEEDBACK)
    assert held(ledger) == []
    assert ledger.ask("SELECT COUNT(*) FROM chain_feedback") == (1,)
