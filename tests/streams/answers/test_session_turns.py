"""Session turns: a turn that goes on from another variant's counts for none, on both sides alike."""

from typing import Any

import pytest
from ledger_by_hand import Ledger, generation

from rlwd.streams.answers.answer_rows import answer_rows
from rlwd.streams.answers.exposure import exposures
from rlwd.streams.answers.session_turns import (
    REMEMBERED_SECONDS,
    SessionShare,
    forget_sessions,
    session_share,
)
from rlwd.streams.events.input_message import InputMessage


def turn(name: str, at: float, session: str, variant: str, version: str, **more: Any) -> bytes:
    given = {"session_id": session, "variant": variant, "version": version, "user_hash": session}
    given["session_found"] = "named"
    return generation(name, at, **{"salt": "salt", **given, **more})


def moved(ledger: Ledger) -> set[str]:
    with ledger.store.reading() as view:
        rows = view.execute("SELECT generation_id FROM episodes WHERE moved = 1").fetchall()
    return {name for (name,) in rows}


def share(ledger: Ledger) -> SessionShare:
    with ledger.store.reading() as view:
        return session_share(view, ledger.joiner.policy)


def test_a_turn_after_another_variants_counts_for_neither(ledger: Ledger) -> None:
    """Both arms lose the same sessions: those that began before their users were drawn."""
    ledger.take(
        turn("a1", 10.0, "a", "champion", "v1", salt="before"),
        turn("b1", 10.0, "b", "champion", "v1", salt="before"),
        turn("a2", 20.0, "a", "candidate", "v2"),
        turn("b2", 20.0, "b", "control", "v1"),
        turn("c1", 20.0, "c", "candidate", "v2"),
        turn("d1", 20.0, "d", "control", "v1"),
        turn("c2", 30.0, "c", "candidate", "v2"),
    )
    assert moved(ledger) == {"a2", "b2"}
    with ledger.store.reading() as view:
        counted = answer_rows(view, "policy", "salt")
        tallies = exposures(view, "policy", "salt")
    assert sorted(row.user for row in counted) == ["c", "c", "d"]
    assert {name: tally.users for name, tally in tallies.items()} == {"candidate": 1, "control": 1}
    # Of four conversations one had its version changed; to the control's users nothing happened.
    assert share(ledger) == SessionShare(seen=4, switched=1)


def test_a_kept_turn_counts_for_neither_and_neither_does_what_follows(ledger: Ledger) -> None:
    """The flag says candidate, the version is still the old one; later the new one goes on from it."""
    ledger.take(
        turn("a1", 10.0, "a", "champion", "v1", salt="before"),
        turn("a2", 20.0, "a", "candidate", "v1", kept=True),
        turn("a3", 30.0, "a", "candidate", "v2"),
    )
    assert moved(ledger) == {"a2", "a3"}
    with ledger.store.reading() as view:
        assert answer_rows(view, "policy", "salt") == []
    assert share(ledger) == SessionShare(seen=1, switched=1)


def test_across_polls_it_is_remembered(ledger: Ledger) -> None:
    """What an earlier poll brought is known to a later one, and forgotten with retention."""
    ledger.take(turn("a1", 10.0, "a", "champion", "v1", salt="before"))
    ledger.take(turn("a2", 20.0, "a", "candidate", "v2"))
    assert moved(ledger) == {"a2"}
    with ledger.store.transaction() as tx:
        forget_sessions(tx, "policy", 21.0)
    ledger.take(turn("a3", 30.0, "a", "candidate", "v2"))
    assert moved(ledger) == {"a2"}


@pytest.mark.parametrize("how", ["a day later", "a new conversation", "another tenant"])
def test_what_is_no_same_conversation_counts(ledger: Ledger, how: str) -> None:
    """A session's name that is used again does not keep its person out of comparisons."""
    cases: dict[str, dict[str, Any]] = {
        "a day later": {"at": 10.0 + REMEMBERED_SECONDS},
        "a new conversation": {"input": (InputMessage(role="user", text="hello"),)},
        "another tenant": {"tenant": "acme"},
    }
    ledger.take(turn("a1", 10.0, "a", "champion", "v1", salt="before"))
    again = {"at": 20.0, **cases[how]}
    ledger.take(turn("a2", again.pop("at"), "a", "candidate", "v2", **again))
    assert moved(ledger) == set()
    assert share(ledger).switched == 0


@pytest.mark.parametrize(
    "how",
    [{"side_request": "title"}, {"variant": "shadow"}, {"session_found": "chance"}],
)
def test_what_is_no_turn_moves_nothing(ledger: Ledger, how: dict[str, Any]) -> None:
    """What a harness asks on its own, what nobody was shown, and a session drawn by chance."""
    ledger.take(turn("a1", 10.0, "a", "candidate", "v2"))
    ledger.take(turn("a2", 20.0, "a", **{"variant": "champion", "version": "v1", **how}))
    ledger.take(turn("a3", 30.0, "a", "candidate", "v2"))
    assert moved(ledger) == set()


def test_after_a_while_a_long_session_counts_again(ledger: Ledger) -> None:
    """A day after its last turn on the other variant what that wrote is no part of it."""
    ledger.take(turn("a1", 10.0, "a", "champion", "v1", salt="before"))
    day = REMEMBERED_SECONDS
    for number, at in enumerate((20.0, day / 2, day + 11.0)):
        ledger.take(turn(f"b{number}", at, "a", "candidate", "v2"))
    assert moved(ledger) == {"b0", "b1"}
