"""What is to be read is noted with what brings it, and goes with its reading."""

import json

import msgspec
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation
from talks_by_hand import Talk, person

from rlwd.streams.events.event import decode_feedback
from rlwd.streams.events.signals import Accepted, FollowedUp, Judged, UnknownSignal
from rlwd.streams.join.episodes_table import load_episodes
from rlwd.streams.join.erasure import erase
from rlwd.streams.readings.reading_tallies import add_tallies, tallies_of
from rlwd.streams.readings.unknown_signals import KINDS_KEPT, OTHERS, unknown_signals
from rlwd.streams.readings.unread import ReadingScope, count_unread, give_up, unread


def scoped(ledger: Ledger, **scope: object) -> Ledger:
    """Let a ledger note what is to be read, and believe what was."""
    ledger.joiner.readings = ReadingScope(messages=True, unproven=True, **scope)  # type: ignore[arg-type]
    ledger.joiner.reader.readings = ledger.joiner.readings
    return ledger


def waiting(ledger: Ledger) -> list[tuple[str, str, str]]:
    with ledger.store.reading() as view:
        kinds = [unread(view, "policy", 100, rubrics=one) for one in (False, True)]
        return [row[:3] for rows in kinds for row in rows]


def judged(name: str, about: str, message: str, rubric: str = "", value: float = 0.1) -> bytes:
    direction = "satisfied" if value > 0.5 else "dissatisfied"
    signal = Judged(
        direction=direction,  # type: ignore[arg-type]
        value=value,
        confidence=0.9,
        reader="learned@0",
        message=message,
        rubric=rubric,
    )
    return feedback(name, about, signal, 5.0, actor="system")


def counted(ledger: Ledger, name: str) -> list[object]:
    with ledger.store.reading() as view:
        (episode,) = load_episodes(view, "policy", [name])
    return [type(one.feedback.signal) for one in episode.feedback]


def test_a_next_message_is_noted_until_it_was_read(ledger: Ledger) -> None:
    """Derived and posted alike; read again from zero nothing is noted that was read."""
    talk = Talk("g")
    scoped(ledger).take(talk.turn(1.0), talk.turn(2.0, person("that is wrong")))
    ledger.take(feedback("f1", "s.g1", FollowedUp(text="thanks"), 3.0), partition=FEEDBACK)
    assert waiting(ledger) == [("s.g0", "s.g1", ""), ("s.g1", "f1", "")]
    ledger.take(judged("j1", "s.g0", "s.g1"), partition=FEEDBACK)
    assert waiting(ledger) == [("s.g1", "f1", "")]
    again = feedback("f1", "s.g1", FollowedUp(text="thanks"), 3.0)
    ledger.take(again, judged("j1", "s.g0", "s.g1"), partition=FEEDBACK)
    assert waiting(ledger) == [("s.g1", "f1", "")]
    with ledger.store.transaction() as tx:
        give_up(tx, "policy", unread(tx, "policy", 10, rubrics=False))
        assert count_unread(tx, "policy") == 0


def test_without_a_reader_nothing_is_noted(ledger: Ledger) -> None:
    """A table that nobody reads from would grow for ever."""
    talk = Talk("g")
    ledger.take(talk.turn(1.0), talk.turn(2.0, person("that is wrong")))
    assert waiting(ledger) == []


def test_rubrics_read_a_share_of_the_sessions(ledger: Ledger) -> None:
    """All of a session or none of it, whoever asks; without consent nothing is read."""
    scoped(ledger, rubrics=("style", "tone"), rubric_share=0.5)
    answers = [generation(f"s{n}.g", 1.0, session_id=f"s{n}") for n in range(40)]
    ledger.take(*answers, generation("no.g", 1.0, session_id="no", consent=False))
    found = waiting(ledger)
    assert 20 < len(found) < 60
    assert {rubric for *_, rubric in found} == {"style", "tone"}
    assert all(name == message for name, message, _ in found)
    ledger.take(judged("j1", found[0][0], found[0][0], found[0][2]), partition=FEEDBACK)
    assert waiting(ledger) == found[1:]


def test_a_reading_counts_with_its_message(ledger: Ledger) -> None:
    """A posted message wins over the derived one, and what was read of that one goes with it."""
    talk = Talk("g")
    scoped(ledger).take(talk.turn(1.0), talk.turn(2.0, person("that is wrong")))
    ledger.take(judged("j1", "s.g0", "s.g1"), judged("j2", "s.g0", "other"), partition=FEEDBACK)
    assert counted(ledger, "s.g0") == [FollowedUp, Judged]
    ledger.take(feedback("f1", "s.g0", FollowedUp(text="thanks"), 3.0), partition=FEEDBACK)
    assert counted(ledger, "s.g0") == [FollowedUp]
    ledger.take(judged("j3", "s.g0", "f1", value=0.9), partition=FEEDBACK)
    assert counted(ledger, "s.g0") == [FollowedUp, Judged]


def test_nobody_takes_a_reading_back_by_its_name(ledger: Ledger) -> None:
    """Feedback that says it takes a reading's place counts beside it."""
    scoped(ledger).take(generation("g1", 1.0))
    ledger.take(
        feedback("f1", "g1", FollowedUp(text="bad"), 2.0),
        judged("j1", "g1", "f1"),
        feedback("f2", "g1", Accepted(), 3.0, replaces="j1"),
        partition=FEEDBACK,
    )
    assert set(counted(ledger, "g1")) == {FollowedUp, Judged, Accepted}


def test_what_was_read_of_an_erased_person_goes_with_them(ledger: Ledger) -> None:
    """Their message was about an answer that stays, perhaps another person's: its reading does not."""
    talk = Talk("g")
    scoped(ledger).take(talk.turn(1.0), talk.turn(2.0, person("bad"), user_hash="a1"))
    ledger.take(judged("j1", "s.g0", "s.g1"), judged("j2", "s.g0", "s.g9"), partition=FEEDBACK)
    with ledger.store.transaction() as tx:
        erase(tx, "policy", "a1", 50.0)
    assert ledger.ask("SELECT COUNT(*), MIN(feedback_id) FROM feedback") == (1, "j2")


def test_a_reading_that_was_under_way_as_its_person_was_erased_goes_too(ledger: Ledger) -> None:
    """It comes back about an answer that stays; what was read of others in that poll is kept."""
    talk, other = Talk("g"), Talk("h", session="s2")
    scoped(ledger).take(talk.turn(1.0), talk.turn(2.0, person("bad"), user_hash="a1"))
    ledger.take(other.turn(3.0), other.turn(4.0, person("bad"), user_hash="b2"))
    with ledger.store.transaction() as tx:
        erase(tx, "policy", "a1", 50.0)
    ledger.take(judged("j1", "s.g0", "s.g1"), judged("j2", "s2.h0", "s2.h1"), partition=FEEDBACK)
    assert ledger.ask("SELECT COUNT(*), MIN(feedback_id) FROM feedback WHERE kind = 'judged'") == (
        1,
        "j2",
    )
    ledger.take(judged("j1", "s.g0", "s.g1"), partition=FEEDBACK)
    assert ledger.ask("SELECT COUNT(*) FROM feedback WHERE kind = 'judged'") == (1,)


def test_kinds_that_nobody_knows_are_counted_up_to_a_bound(ledger: Ledger) -> None:
    """Whoever invents a kind for each record fills no table."""
    plain = json.loads(feedback("f", "g1", Accepted(), 2.0))
    for number in range(KINDS_KEPT + 5):
        plain["id"] = plain["data"]["feedback_id"] = f"f{number}"
        plain["data"]["signal"] = {"kind": f"kind_{number}"}
        ledger.take(json.dumps(plain).encode(), partition=FEEDBACK)
    with ledger.store.reading() as view:
        found = unknown_signals(view, "policy")
    assert len(found) == KINDS_KEPT + 1
    assert found[OTHERS] == 5


def test_a_kind_counts_for_what_it_is_after_the_upgrade() -> None:
    """What an older rlwd kept is read for what it says; a reading that nobody proved is not."""

    def kept(fields: bytes) -> object:
        raw = msgspec.json.encode(
            {
                "feedback_id": "f",
                "generation_id": "g",
                "session_id": "s",
                "signal": {
                    "kind": "unknown_signal",
                    "named": "later",
                    "fields": msgspec.Raw(fields),
                },
            }
        )
        return type(decode_feedback(raw).signal)

    assert kept(b'{"kind":"accepted"}') is Accepted
    assert kept(b'{"kind":"still_later"}') is UnknownSignal
    forged = msgspec.json.encode(
        Judged(direction="satisfied", value=1.0, confidence=1.0, reader="me", message="m")
    )
    assert kept(forged) is UnknownSignal


def test_tallies_are_of_a_day_and_of_all_days(ledger: Ledger) -> None:
    """What was spent today is what a budget is held against."""
    with ledger.store.transaction() as tx:
        add_tallies(tx, "policy", 10.0, {"calls": 2, "tokens": 30, "nothing": 0})
        add_tallies(tx, "policy", 20.0, {"calls": 1})
        add_tallies(tx, "policy", 86_400.0, {"calls": 5})
        assert tallies_of(tx, "policy") == {"calls": 8, "tokens": 30}
        assert tallies_of(tx, "policy", 30.0) == {"calls": 3, "tokens": 30}
        assert tallies_of(tx, "policy", 86_401.0) == {"calls": 5}
