"""Which answers wait to be shown as traces: a share of the sessions, all negatives, what changed."""

from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback, generation
from traced_by_hand import serve_refund, take_it, turn_down

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.answers import traced
from rlwd.streams.answers.traced import TracedRow, Waits
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.join.erasure import erase
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.join.retention import expire


def with_share(ledger: Ledger, share: float) -> Ledger:
    """Join on with a share of sessions that is traced."""
    joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, trace_share=share)
    with ledger.store.transaction() as tx:
        ends = joiner.resume(tx, [GENERATIONS, FEEDBACK])
    return Ledger(ledger.store, joiner, ends)


def waiting(ledger: Ledger, limit: int = 1000) -> list[TracedRow]:
    with ledger.store.reading() as view:
        return traced.waiting(view, "policy", limit)


def names(ledger: Ledger) -> list[tuple[str, Waits]]:
    return [(name, waits) for name, waits, _ in waiting(ledger)]


def settle(ledger: Ledger, told: list[TracedRow], most: int = 1000) -> tuple[int, int]:
    with ledger.store.transaction() as tx:
        return traced.settle(tx, "policy", told, most)


def test_without_a_share_nothing_is_noted(ledger: Ledger) -> None:
    """The default costs no row, whatever is decided."""
    ledger.take(generation("g", 1.0))
    turn_down(ledger, "g", 2.0)
    ledger.close(1000.0)
    assert waiting(ledger) == []


def test_an_answer_waits_once_it_is_decided(ledger: Ledger) -> None:
    """By feedback, by its horizon, at once where both came together; never before."""
    ledger = with_share(ledger, 1.0)
    ledger.take(generation("open", 1.0), generation("taken", 1.0))
    assert waiting(ledger) == []
    take_it(ledger, "taken", 2.0)
    assert names(ledger) == [("taken", Waits.SAMPLED)]
    ledger.close(1000.0)
    assert {name for name, _ in names(ledger)} == {"open", "taken"}


def test_what_may_not_be_kept_never_waits(ledger: Ledger) -> None:
    """Without consent there is no content, and nothing to show."""
    ledger = with_share(ledger, 1.0)
    ledger.take(generation("private", 1.0, consent=False))
    turn_down(ledger, "private", 2.0)
    ledger.close(1000.0)
    assert waiting(ledger) == []


def test_negatives_wait_besides_the_sample_and_first(ledger: Ledger) -> None:
    """A tiny share takes no session of these, but every answer that was turned down."""
    ledger = with_share(ledger, 1e-9)
    ledger.take(generation("bad", 1.0), generation("good", 1.0))
    take_it(ledger, "good", 2.0)
    turn_down(ledger, "bad", 3.0)
    assert names(ledger) == [("bad", Waits.NEGATIVE)]
    ledger = with_share(ledger, 1.0)
    ledger.take(generation("early", 0.5))
    take_it(ledger, "early", 1.0)
    assert names(ledger) == [("bad", Waits.NEGATIVE), ("early", Waits.SAMPLED)]


def test_the_share_is_one_of_sessions_and_the_same_everywhere(ledger: Ledger) -> None:
    """Of many sessions about so many are taken, each with all its answers."""
    ledger = with_share(ledger, 0.3)
    answers = [(f"s{n}", f"s{n}.g{k}") for n in range(200) for k in range(2)]
    ledger.take(*(generation(name, 1.0, session_id=session) for session, name in answers))
    yes = [feedback(f"{name}.f", name, Accepted(), 2.0) for _, name in answers]
    ledger.take(*yes, partition=FEEDBACK)
    found = {name for name, _ in names(ledger)}
    sessions = {name.partition(".")[0] for name in found}
    assert found == {name for session, name in answers if session in sessions}
    assert 30 < len(sessions) < 90


def test_what_was_told_waits_again_when_it_changes(ledger: Ledger) -> None:
    """Late feedback brings it back, whatever the answer is worth now; a change while it is told stays."""
    ledger = with_share(ledger, 1e-9)
    ledger.take(generation("g", 1.0))
    turn_down(ledger, "g", 2.0)
    told = waiting(ledger)
    ledger.take(feedback("g.yes", "g", Accepted(), 4.0), partition=FEEDBACK, now=4.0)
    settle(ledger, told)
    (row,) = waiting(ledger)
    assert row.changes == told[0].changes + 1
    assert settle(ledger, [row]) == (0, 0)
    assert waiting(ledger) == []
    ledger.take(feedback("g.no2", "g", Rejected(), 9.0), partition=FEEDBACK, now=9.0)
    assert [name for name, _ in names(ledger)] == ["g"]


def test_those_that_waited_longest_make_room_and_deletions_never(ledger: Ledger) -> None:
    """Beyond the bound the newest stay, each drop is counted, and what is forgotten still goes."""
    ledger = with_share(ledger, 1.0)
    ledger.take(*(generation(f"g{n}", 1.0) for n in range(5)))
    for n in range(5):
        take_it(ledger, f"g{n}", 10.0 + n)
    with ledger.store.transaction() as tx:
        traced.note_forgotten(tx, "policy", ["g0"], 0.0)
    assert settle(ledger, [], most=3) == (3, 2)
    assert names(ledger) == [
        ("g0", Waits.FORGOTTEN),
        ("g3", Waits.SAMPLED),
        ("g4", Waits.SAMPLED),
    ]


def test_what_is_erased_or_too_old_waits_for_its_deletion(ledger: Ledger) -> None:
    """Told or not: nothing else is known of it any more, and then nothing at all."""
    ledger = with_share(ledger, 1.0)
    hers, his = (
        serve_refund(ledger, s, 1.0, user) for s, user in (("a", "a" * 32), ("b", "b" * 32))
    )
    for name in (*hers, *his):
        turn_down(ledger, name, 20.0)
    settle(ledger, waiting(ledger))
    with ledger.store.transaction() as tx:
        found = erase(tx, "policy", "a" * 32, 50.0, [])
    assert found.traced == tuple(sorted(hers))
    assert {name for name, waits in names(ledger) if waits is Waits.FORGOTTEN} == set(hers)
    settle(ledger, waiting(ledger))
    assert waiting(ledger) == []
    with ledger.store.transaction() as tx:
        expire(tx, "policy", 100.0)
    assert {name for name, _ in names(ledger)} == set(his)
    turn_down(ledger, hers[0], 60.0)
    assert {name for name, _ in names(ledger)} == set(his)


def test_a_tool_result_of_an_erased_person_goes_from_the_answer_before(ledger: Ledger) -> None:
    """An answer to somebody else that shows what an erased person's request brought is told again."""
    ledger = with_share(ledger, 1.0)
    first, second = serve_refund(ledger, "a", 1.0, "a" * 32)
    turn_down(ledger, first, 20.0)
    settle(ledger, waiting(ledger))
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET user_hash = 'other' WHERE generation_id = ?", (second,))
    with ledger.store.transaction() as tx:
        erase(tx, "policy", "other", 50.0, [])
    assert names(ledger) == [(first, Waits.NEGATIVE)]


def test_a_restart_knows_what_was_told(ledger: Ledger) -> None:
    """What waits stands in the tables."""
    ledger = with_share(ledger, 1.0)
    ledger.take(generation("g", 1.0), generation("h", 1.0))
    take_it(ledger, "g", 2.0)
    settle(ledger, waiting(ledger))
    ledger = with_share(ledger, 1.0)
    take_it(ledger, "h", 3.0)
    assert [name for name, _ in names(ledger)] == ["h"]
