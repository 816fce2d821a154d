"""Asked: a question for feedback that was shown is kept beside the answer, and decides nothing."""

import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.event import MalformedEvent, decode_event
from rlwd.streams.events.signals import Accepted, Asked, Signal
from rlwd.streams.join.episodes_table import load_episodes

BELOW = Asked(question="helpful", probability=0.25, channel="below the answer")
BY_MAIL = Asked(question="nps", probability=0.01, channel="mail")


def test_a_question_decides_nothing_and_is_on_the_episode(ledger: Ledger) -> None:
    """The episode says which questions were shown with which probability, decided or not."""
    ledger.take(generation("g", 1.0))
    said = (feedback("q", "g", BELOW, 2.0), feedback("r", "g", BY_MAIL, 3.0))
    assert ledger.take(*said, partition=FEEDBACK).counts.accepted == 2
    assert ledger.ask("SELECT stage, reward FROM episodes") == ("open", None)
    ledger.take(feedback("f", "g", Accepted(), 4.0), partition=FEEDBACK)
    assert ledger.ask("SELECT reward FROM episodes") == (1.0,)
    with ledger.store.reading() as view:
        (episode,) = load_episodes(view, "policy", ["g"])
    assert episode.asked == (BELOW, BY_MAIL)


def test_whoever_was_asked_and_said_nothing_is_censored(ledger: Ledger) -> None:
    """Silence after a question is no answer."""
    ledger.take(generation("g", 1.0), feedback("q", "g", BELOW, 2.0))
    ledger.close(1000.0)
    assert ledger.fates() == {"censored:no_decision": 1}


@pytest.mark.parametrize("probability", ["0", "-0.1", "1.5"])
def test_a_probability_of_nobody_is_refused_by_its_path(probability: str) -> None:
    """Whoever was shown a question had a chance to be, and none has more than one."""
    signal: Signal = BELOW
    raw = feedback("q", "g", signal, 2.0).replace(b"0.25", probability.encode())
    with pytest.raises(MalformedEvent, match=r"\$\.data\.signal\.probability"):
        decode_event(raw)
