"""What retention and erasure do to conversations: nothing half is left, and others stay whole."""

from typing import Any

import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback
from talks_by_hand import Talk, call, held, links, person, record_of, result, signals

from rlwd.streams.events.signals import Accepted
from rlwd.streams.join import retention
from rlwd.streams.join.erasure import ErasureCounts, erase
from rlwd.streams.sessions.turn import WIDTH, prefix_digests, token_digest


def expire(ledger: Ledger, before: float) -> None:
    with ledger.store.transaction() as tx:
        retention.expire(tx, "policy", before)


def erased(ledger: Ledger, user: str) -> ErasureCounts:
    with ledger.store.transaction() as tx:
        return erase(tx, "policy", user, 100.0)


@pytest.mark.parametrize("before", [0.5, 1.5, 3.5, 4.5])
def test_a_turn_outlives_the_one_it_goes_on_from(ledger: Ledger, before: float) -> None:
    """Retention forgets the first turns; the prompts of the others are given back bit for bit."""
    talk = Talk("a")
    raw = [talk.turn(float(n)) for n in range(5)]
    ledger.take(*raw)
    expire(ledger, before)
    for at, (name, one) in enumerate(zip(talk.turns, raw, strict=True)):
        assert held(ledger, name) == (None if at < before else record_of(one))
    assert ledger.ask("SELECT COUNT(*) FROM turns") == (sum(at >= before for at in range(5)),)
    # The next turn goes on from what is left.
    last = talk.turn(5.0)
    ledger.take(last)
    assert held(ledger, talk.turns[5]) == record_of(last)


def test_a_turn_of_an_expired_parent_is_kept_whole(ledger: Ledger) -> None:
    """Its parent's tokens are nowhere any more."""
    talk = Talk("a")
    ledger.take(talk.turn(0.0, calls=(call("call-1"),)))
    expire(ledger, 1.0)
    later = talk.turn(2.0, result("call-1", "3"))
    ledger.take(later)
    assert held(ledger, "s.a1") == record_of(later)
    assert ledger.ask("SELECT COUNT(*) FROM made_calls") == (0,)


def test_erasing_reaches_what_others_were_told(ledger: Ledger) -> None:
    """Turns of others that go on from an erased person's end by name; turns before theirs stay, and
    lose what the erased person's record said of them."""
    talk = Talk("a")
    mine: dict[str, Any] = {"user_hash": "11"}
    hers: dict[str, Any] = {"user_hash": "22"}
    first, second = talk.turn(0.0, **mine), talk.turn(1.0, person("hers"), **hers)
    ledger.take(first, second, talk.turn(2.0, **mine), talk.turn(3.0, **mine))
    other = Talk("other", session="s2")
    ledger.take(other.turn(4.0, **mine))
    assert ("s.a0", "followed_up", "s.a1") in signals(ledger)
    assert erased(ledger, "22") == ErasureCounts(generations=1, others=2, versions=(), batches=())
    assert [held(ledger, name) is None for name in talk.turns] == [False, True, True, True]
    assert held(ledger, "s.a0") == record_of(first)
    assert held(ledger, "s2.other0") is not None
    assert ledger.fates() == {"excluded:erased": 3, "waiting": 2}
    assert ("s.a0", "followed_up", "s.a1") not in signals(ledger)
    assert erased(ledger, "22").generations == 1


def test_feedback_on_a_deep_turn_finds_its_prompt(ledger: Ledger) -> None:
    """A reward is asked for with the whole episode, however deep its turn lies."""
    talk = Talk("a")
    raw = [talk.turn(float(n)) for n in range(120)]
    for start in range(0, 120, 30):
        ledger.take(*raw[start : start + 30])
    ledger.take(feedback("f", talk.turns[-1], Accepted(), 121.0), partition=FEEDBACK)
    assert held(ledger, talk.turns[-1]) == record_of(raw[-1])
    assert ledger.ask("SELECT reward FROM episodes WHERE generation_id = ?", talk.turns[-1]) == (
        1.0,
    )


def test_a_session_costs_its_length_and_not_its_square(ledger: Ledger) -> None:
    """Twice the turns are some twice the bytes; whole prompts would be four times."""

    def cost(turns: int, session: str) -> int:
        talk = Talk("a", session=session)
        ledger.take(*[talk.turn(float(n)) for n in range(turns)])
        return int(
            ledger.ask(
                "SELECT SUM(LENGTH(payload)) FROM contents WHERE generation_id LIKE ?",
                f"{session}.%",
            )[0]
        )

    assert cost(120, "long") < 2.1 * cost(60, "short")
    assert links(ledger)["long.a119"][0] == "long.a118"


def test_digests_of_prefixes() -> None:
    """In one pass they are those of each prefix alone."""
    raw = bytes(range(50 * WIDTH))
    found = prefix_digests(raw, {3, 50, 0, 17})
    assert found == {length: token_digest(raw[: length * WIDTH]) for length in (0, 3, 17, 50)}
