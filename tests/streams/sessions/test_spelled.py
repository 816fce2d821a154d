"""Prompts that spell what was redacted before them, of records whose writer did not look."""

from typing import Any

import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Accepted
from rlwd.streams.sessions.contents import load_contents

MAIL = "anna.smith@example.com"


def turn(name: str, at: float, earlier: int, said: str = "go on", **more: Any) -> bytes:
    """A turn as a product writes it: prompt ids of all before it, and its own texts."""
    known: dict[str, Any] = {
        "session_found": "named",
        "input": (InputMessage(role="user", text=said),),
        "earlier_answers": earlier,
        "prompt_token_ids": tuple(range(10, 12 + 10 * earlier)),
        "completion_token_ids": (7,),
    }
    return generation(name, at, **{**known, **more})


def tokens(ledger: Ledger, name: str) -> tuple[tuple[int, ...] | None, Any]:
    with ledger.store.reading() as view:
        data = load_contents(view, "policy", [name])[name].event.data
    return data.prompt_token_ids, data.redacted


def fates(ledger: Ledger) -> dict[str, str]:
    with ledger.store.reading() as view:
        return dict(view.execute("SELECT generation_id, fate FROM episodes").fetchall())


FIRST = turn("s.g1", 1.0, 0, f"write to {MAIL}")
SECOND = turn("s.g2", 2.0, 1, parent_id="s.g1")
THIRD = turn("s.g3", 3.0, 2, parent_id="s.g2")


@pytest.mark.parametrize(
    "polls",
    [
        [[FIRST, SECOND, THIRD]],
        [[FIRST], [SECOND], [THIRD]],
        [[THIRD], [SECOND], [FIRST]],
        [[SECOND], [FIRST, THIRD]],
    ],
)
def test_what_goes_on_from_a_hit_keeps_no_tokens(ledger: Ledger, polls: list[list[bytes]]) -> None:
    """Its prompt begins with it, as ids: in whatever order they come, and once they are decided."""
    names = ["s.g1", "s.g2", "s.g3"]
    for poll in polls:
        assert ledger.take(*poll).counts.accepted == len(poll)
        for name in names:
            ledger.take(feedback(f"{name}.f", name, Accepted(), 9.0), partition=FEEDBACK)
    assert tokens(ledger, "s.g1") == (None, ("mail",))
    assert tokens(ledger, "s.g2") == tokens(ledger, "s.g3") == (None, ("history",))
    assert set(fates(ledger).values()) == {"excluded:redacted"}


def test_the_answer_with_the_hit_need_not_be_the_parent_that_is_found(ledger: Ledger) -> None:
    """It keeps no tokens, so a later prompt is found to go on from the turn before it."""
    clean = turn("s.g1", 1.0, 0)
    hit = turn("s.g2", 2.0, 1, f"write to {MAIL}", prompt_token_ids=(10, 11, 7, 20))
    after = turn("s.g3", 3.0, 2, prompt_token_ids=(10, 11, 7, 20, 7, 30))
    ledger.take(clean, hit, after)
    assert tokens(ledger, "s.g1") == ((10, 11), None)
    assert tokens(ledger, "s.g3") == (None, ("history",))


def test_clean_turns_of_the_session_keep_theirs(ledger: Ledger) -> None:
    """What came before the hit, what begins anew, and what its own writer has looked at."""
    ledger.take(
        turn("s.g1", 1.0, 0),
        turn("s.g2", 2.0, 1, parent_id="s.g1", prompt_token_ids=(10, 11, 7, 20)),
        turn("s.g3", 3.0, 2, f"write to {MAIL}", parent_id="s.g2"),
        turn("s.g4", 4.0, 1, parent_id="s.g1", prompt_token_ids=(10, 11, 7, 21)),
        turn("s.g5", 5.0, 0),
        turn("s.g6", 6.0, 3, parent_id="s.g3", redacted=(), prompt_token_ids=(1, 2, 3)),
    )
    kept = {name: tokens(ledger, name)[0] for name in ("s.g1", "s.g2", "s.g4", "s.g5", "s.g6")}
    assert kept == {
        "s.g1": (10, 11),
        "s.g2": (10, 11, 7, 20),
        "s.g4": (10, 11, 7, 21),
        "s.g5": (10, 11),
        "s.g6": (1, 2, 3),
    }


def test_a_prompt_without_its_texts_is_not_trusted_after_a_hit(ledger: Ledger) -> None:
    """Where a record does not say what stands before it, any hit of the session may."""
    bare: dict[str, Any] = {"input": (), "parent_id": None}
    ledger.take(
        turn("s.g1", 1.0, 0, **bare),
        turn("s.g2", 2.0, 0, f"write to {MAIL}"),
        turn("s.g3", 3.0, 0, **bare),
        turn("t.g1", 4.0, 0, session_id="t", **bare),
    )
    assert tokens(ledger, "s.g1")[0] is not None
    assert tokens(ledger, "s.g3") == (None, ("history",))
    assert tokens(ledger, "t.g1")[0] is not None


def test_others_that_began_with_its_tokens_keep_their_own(ledger: Ledger) -> None:
    """A late hit takes tokens from a turn that another one, looked at by its writer, is kept by."""
    long = tuple(range(100, 140))
    ledger.take(turn("s.g2", 2.0, 1, parent_id="s.g1", prompt_token_ids=long))
    whole = (*long, 7, 8)
    ledger.take(turn("s.g3", 3.0, 2, parent_id="s.g2", prompt_token_ids=whole, redacted=()))
    ledger.take(FIRST)
    assert tokens(ledger, "s.g2") == (None, ("history",))
    assert tokens(ledger, "s.g3") == (whole, ())
