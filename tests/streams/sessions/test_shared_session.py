"""Many people under one session's name, as a product's one cache key makes it: each goes on from their own."""

from typing import Any

import pytest
from ledger_by_hand import Ledger, generation
from talks_by_hand import person

from rlwd.streams.events.input_message import answer_digest


def turn(name: str, at: float, user: str, **more: Any) -> bytes:
    """A turn of a person; all of them begin in the same words and are answered alike."""
    begins = not more
    known: dict[str, Any] = {
        "session_found": "cache_key",
        "user_hash": user,
        "redacted": (),
        "input": (person("Hello."),),
        "prompt_token_ids": tuple(range(20)),
        "completion_token_ids": (90, 91),
        "logprobs": (-0.5, -0.5),
        "text": "Good day!",
    }
    if not begins:
        known |= {
            "prompt_token_ids": (*range(20), 90, 91, *more.pop("asked")),
            "text": "So it is.",
            "earlier_answers": 1,
            "last_answer": answer_digest("Good day!"),
        }
    return generation(name, at, **{**known, **more})


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_who_begins_alike_goes_on_from_their_own_answer(
    ledger: Ledger, late: bool, tokens: bool
) -> None:
    """By tokens as by what was said last; what one writes back says nothing of another's answer."""
    more: dict[str, Any] = {"input": (person("No, wrong."),), "asked": (1, 2)}
    if not tokens:
        more |= {"prompt_token_ids": None, "completion_token_ids": None, "logprobs": None}
    ada, eve = turn("s.ada1", 1.0, "ada"), turn("s.eve1", 2.0, "eve")
    follows = turn("s.ada2", 3.0, "ada", **more)
    for record in [eve, follows, ada] if late else [ada, eve, follows]:
        ledger.take(record)
    assert ledger.ask("SELECT parent_id FROM episodes WHERE generation_id = 's.ada2'") == (
        "s.ada1",
    )
    assert ledger.ask("SELECT generation_id, COUNT(*) FROM feedback GROUP BY 1") == ("s.ada1", 1)


def test_one_conversation_of_two_people_is_still_one(ledger: Ledger) -> None:
    """Where nobody of the same name answered before, another's turn is what it goes on from."""
    ledger.take(turn("s.ada1", 1.0, "ada"))
    ledger.take(turn("s.eve2", 2.0, "eve", input=(person("And me?"),), asked=(1, 2)))
    assert ledger.ask("SELECT parent_id FROM episodes WHERE generation_id = 's.eve2'") == (
        "s.ada1",
    )


def test_who_goes_back_goes_on_from_the_answer_that_stood_there(ledger: Ledger) -> None:
    """A short answer that was given twice: the second question is asked anew in other words."""
    no: dict[str, Any] = {
        "prompt_token_ids": None,
        "completion_token_ids": None,
        "logprobs": None,
        "asked": (),
    }
    ledger.take(turn("s.1", 1.0, "ada"))
    ledger.take(turn("s.2", 2.0, "ada", input=(person("No."),), **no, text="Good day!"))
    ledger.take(turn("s.3", 3.0, "ada", input=(person("Yes."),), **no))
    assert ledger.ask("SELECT parent_id FROM episodes WHERE generation_id = 's.3'") == ("s.1",)
    said = "SELECT COUNT(*) FROM feedback WHERE generation_id = ?"
    assert [ledger.ask(said, name) for name in ("s.1", "s.2")] == [(2,), (0,)]


def test_a_summary_is_looked_for_among_the_persons_own_answers(ledger: Ledger) -> None:
    """However many others were answered since, in the session of all."""
    summary = "They asked for the order of May, and it was refunded in full."
    ledger.take(turn("s.ada1", 1.0, "ada", text=summary, asked=(3, 4)))
    ledger.take(*[turn(f"s.eve{n}", 2.0 + n, f"eve{n}", asked=(n, n)) for n in range(9)])
    told = (person(f"So far: {summary} Go on."),)
    anew = {"earlier_answers": 0, "last_answer": "", "prompt_token_ids": (7,) * 30}
    ledger.take(turn("s.ada2", 20.0, "ada", input=told, asked=(), **anew))
    found = ledger.ask("SELECT parent_id, link FROM episodes WHERE generation_id = 's.ada2'")
    assert found == ("s.ada1", "summary")
