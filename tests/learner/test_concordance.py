"""Concordance: which of two answers was raised more, by strata, with an error by user."""

import random
from statistics import pvariance, stdev

import pytest

from rlwd.learner.concordance import JudgedAnswer, concordance


def answers(count: int, seed: int, *, lift: float, users: int = 20) -> list[JudgedAnswer]:
    """Answers to one kind of work; those liked are raised by `lift` more, beside a noise of 1."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        liked = draw.random() < 0.5
        raised = lift * liked + draw.gauss(0, 1)
        found.append(JudgedAnswer("s", number % users, float(liked), raised))
    return found


def test_it_is_the_share_of_pairs_in_the_right_order() -> None:
    """Of the four pairs of a liked and a disliked answer three are in order; a tie is half a pair."""
    told = [
        JudgedAnswer("s", n, float(n < 2), raised) for n, raised in enumerate((3.0, 1.0, 2.0, 0.0))
    ]
    found = concordance(told)
    assert found is not None
    assert (found.concordance, found.count, found.users) == (0.75, 4, 4)
    tied = concordance([told[0], told[2]._replace(raised=3.0)])
    assert tied is not None
    assert tied.concordance == 0.5


def test_kinds_of_work_are_not_compared() -> None:
    """A kind that earns more, and whose answers all rose, says nothing of what was learned."""
    one = [JudgedAnswer("easy", n, 1.0, 1.0) for n in range(5)]
    assert concordance([*one, *(JudgedAnswer("hard", 9 + n, 0.0, -1.0) for n in range(5))]) is None


def test_the_opposite_is_below_a_half() -> None:
    """With the sign of every change turned, the index is one minus itself, and the error the same."""
    told = answers(60, 1, lift=1.0)
    up, down = concordance(told), concordance([one._replace(raised=-one.raised) for one in told])
    assert up is not None
    assert down is not None
    assert up.concordance > 0.6
    assert down.concordance == pytest.approx(1 - up.concordance)
    assert down.standard_error == pytest.approx(up.standard_error)


def test_half_a_reward_apart_counts_half() -> None:
    """A pair counts by how much better the one is, and by both weights."""
    told = [
        JudgedAnswer("s", 0, 1.0, 1.0),
        JudgedAnswer("s", 1, 0.5, 2.0, weight=2.0),
        JudgedAnswer("s", 2, 0.5, 0.0, weight=1.0),
    ]
    found = concordance(told)
    assert found is not None
    assert found.concordance == pytest.approx(0.5 / 1.5)


def test_the_error_is_that_of_many_draws() -> None:
    """Over 200 draws the mean of the squared errors is near the index's own variance."""
    found = [concordance(answers(80, seed, lift=0.5)) for seed in range(200)]
    values = [one.concordance for one in found if one is not None]
    errors = [one.standard_error**2 for one in found if one is not None]
    assert sum(errors) / len(errors) == pytest.approx(pvariance(values), rel=0.3)
    assert stdev(values) > 0.03


def test_answers_of_one_user_are_one_piece_of_evidence() -> None:
    """The same answers, all given ten times by the same people, are no surer than once."""
    told = answers(30, 3, lift=1.0, users=30)
    once, often = concordance(told), concordance(told * 10)
    assert once is not None
    assert often is not None
    assert often.standard_error == pytest.approx(once.standard_error, rel=0.05)
    assert often.effective_users == pytest.approx(once.effective_users)


def test_a_single_user_shows_nothing() -> None:
    """Without him nothing is left: the error is the whole range, and he counts as one."""
    found = concordance([JudgedAnswer("s", 1, 1.0, 1.0), JudgedAnswer("s", 1, 0.0, 0.0)])
    assert found is not None
    assert (found.standard_error, found.effective_users) == (0.5, 1.0)


def test_nobody_and_likings_all_alike_are_no_evidence() -> None:
    """There is no pair to compare."""
    assert concordance([]) is None
    assert concordance([JudgedAnswer("s", n, 1.0, float(n)) for n in range(4)]) is None
