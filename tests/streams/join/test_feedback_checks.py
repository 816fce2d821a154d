"""Which feedback counts: of the answer it names, of the tenant it was served to, and not too much."""

from collections.abc import Callable

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback, generation

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, Rated, Rejected, Undone
from rlwd.streams.join.fate import JoinSettings
from rlwd.streams.join.joiner import Joiner

COUNTS = (
    "SELECT delivered, accepted, duplicate, dead_lettered FROM offsets WHERE topic = 'feedback'"
)
REWARDS = "SELECT SUM(reward), COUNT(reward) FROM episodes"


def closes(ledger: Ledger) -> bool:
    """Whether every delivered record is accepted, a duplicate, or dead-lettered."""
    total = "SELECT SUM(delivered), SUM(accepted + duplicate + dead_lettered) FROM offsets"
    delivered, ended = ledger.ask(total)
    letters = ledger.ask("SELECT COUNT(*) FROM dead_letters")[0]
    refused = ledger.ask("SELECT SUM(dead_lettered) FROM offsets")[0]
    return bool(delivered == ended and letters == refused)


@pytest.mark.parametrize("apart", [True, False])
def test_one_feedback_id_on_two_answers_is_two_feedbacks(ledger: Ledger, apart: bool) -> None:
    """Clients name every thumb alike: the answer is part of its identity, also in one poll."""
    ledger.take(generation("g1", 1.0), generation("g2", 1.0))
    thumbs = [feedback("thumb", "g1", Accepted(), 2.0), feedback("thumb", "g2", Rejected(), 2.0)]
    for each in [thumbs[:1], thumbs[1:]] if apart else [thumbs]:
        ledger.take(*each, partition=FEEDBACK)
    ledger.take(*thumbs, partition=FEEDBACK)
    assert ledger.ask(REWARDS) == (1.0, 2)
    assert ledger.ask(COUNTS) == (4, 2, 2, 0)


@pytest.mark.parametrize("order", ["before", "after", "together"])
def test_another_tenants_feedback_counts_nowhere(ledger: Ledger, order: str) -> None:
    """Whether it comes before the answer, after it or with it, it is dead-lettered by name."""
    answer = generation("g", 1.0, tenant="a")
    theirs = feedback("f1", "g", Rejected(), 2.0, tenant="b")
    ours = feedback("f2", "g", Accepted(), 3.0, tenant="a")
    if order == "before":
        ledger.take(theirs, ours, partition=FEEDBACK)
        ledger.take(answer)
    elif order == "after":
        ledger.take(answer)
        ledger.take(theirs, ours, partition=FEEDBACK)
    else:
        ledger.take(theirs, ours, answer, partition=FEEDBACK)
    assert ledger.ask("SELECT reward, fate FROM episodes") == (1.0, "waiting")
    reason = "wrong_tenant: g was not served to tenant 'b'"
    assert ledger.ask("SELECT reason FROM dead_letters") == (reason,)
    assert closes(ledger)
    ledger.take(theirs, partition=FEEDBACK)
    assert ledger.ask("SELECT COUNT(*) FROM dead_letters") == (1,)
    assert closes(ledger)


@pytest.mark.parametrize("order", ["before", "after", "together"])
def test_another_tenant_takes_no_place_of_the_true_ones_feedback(
    make_ledger: Callable[[], Ledger], order: str
) -> None:
    """A neighbour that guesses the ids of an answer and its feedback, and sends much, hides nothing."""
    ledger = make_ledger()
    settings = JoinSettings(feedback_per_kind=2)
    ledger.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, settings=settings)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    answer = generation("g", 1.0, tenant="a")
    theirs = [
        feedback(name, "g", Accepted(), 2.0, tenant="b") for name in ("thumb", "more", "yet more")
    ]
    ours = feedback("thumb", "g", Accepted(), 3.0, tenant="a")
    if order == "before":
        ledger.take(*theirs, partition=FEEDBACK)
        ledger.take(ours, partition=FEEDBACK)
        ledger.take(answer)
    elif order == "after":
        ledger.take(answer)
        ledger.take(*theirs, partition=FEEDBACK)
        ledger.take(ours, partition=FEEDBACK)
    else:
        ledger.take(*theirs, ours, answer, partition=FEEDBACK)
    ledger.take(ours, *theirs, partition=FEEDBACK)
    assert ledger.ask("SELECT reward, fate FROM episodes") == (1.0, "waiting")
    assert ledger.ask("SELECT COUNT(*) FROM dead_letters") == (3,)
    assert ledger.ask("SELECT feedback_id, tenant FROM feedback WHERE dead = 0") == ("thumb", "a")
    assert closes(ledger)


@pytest.mark.parametrize("order", ["before", "after"])
def test_feedback_that_names_no_tenant_is_the_answers_own(ledger: Ledger, order: str) -> None:
    """Whoever may name a tenant and names none means the one that was served."""
    answer = generation("g", 1.0, tenant="a")
    said = feedback("f", "g", Accepted(), 2.0, tenant="")
    if order == "before":
        ledger.take(said, partition=FEEDBACK)
    ledger.take(answer)
    if order == "after":
        ledger.take(said, partition=FEEDBACK)
    assert ledger.ask("SELECT reward FROM episodes") == (1.0,)
    assert ledger.ask("SELECT COUNT(*) FROM dead_letters") == (0,)
    assert closes(ledger)


def test_feedback_that_replaces_itself_counts(ledger: Ledger) -> None:
    """A client that fills in its own id takes nothing back."""
    ledger.take(generation("g", 1.0))
    ledger.take(feedback("f", "g", Accepted(), 2.0, replaces="f"), partition=FEEDBACK)
    assert ledger.ask(REWARDS) == (1.0, 1)


def test_one_answers_feedback_is_capped_by_kind_and_what_is_capped_is_counted(
    make_ledger: Callable[[], Ledger],
) -> None:
    """A thousand ratings of one answer count as ten; the undo after them is heard all the same."""
    ledger = make_ledger()
    settings = JoinSettings(feedback_per_kind=10)
    ledger.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, settings=settings)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    ledger.take(generation("g", 1.0), generation("other", 1.0))
    ratings = [feedback(f"r{n}", "g", Rated(value=1.0), 2.0 + n / 1000) for n in range(1000)]
    ledger.take(feedback("a", "g", Accepted(), 1.5), *ratings[:6], partition=FEEDBACK)
    for start in range(6, 1000, 142):
        ledger.take(*ratings[start : start + 142], partition=FEEDBACK)
    ledger.take(
        feedback("u", "g", Undone(), 5.0),
        feedback("r", "other", Rated(value=0.0), 5.0),
        partition=FEEDBACK,
    )
    assert ledger.ask("SELECT COUNT(*) FROM feedback WHERE dead = 0") == (13,)
    assert ledger.ask(COUNTS) == (1003, 13, 0, 990)
    assert ledger.ask("SELECT reward FROM episodes WHERE generation_id = 'g'") == (0.0,)
    reason = "too_much_feedback: g has 10 of kind rated already"
    assert ledger.ask("SELECT reason, COUNT(*) FROM dead_letters GROUP BY reason") == (reason, 990)
    assert closes(ledger)
