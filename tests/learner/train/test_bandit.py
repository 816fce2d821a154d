"""Bandits whose best answer is known: tracker, advantage and loss together must find it.

The policy is a table of logits, and everything that turns rewards into steps is the learner's own
(`table_policy`). The objective is the mean reward: what an answer earns on average decides, and
neither its luck nor its length nor how hard its segment is.
"""

import pytest
from table_policy import Arm, coin, shares, sure


def test_the_sure_thing_wins_over_the_coin() -> None:
    """A sure .6 is worth more than a coin worth .5, though the coin's wins are larger."""
    assert shares({"a": (Arm(pay=sure(0.6)), Arm(pay=coin(0.5)))}).min() > 0.95


@pytest.mark.parametrize(("accepted", "shown"), [(0.15, False), (0.4, True)])
def test_show_or_keep_silent(accepted: float, shown: bool) -> None:
    """Silence earns .25: a suggestion is shown where it is accepted more often than that."""
    share = shares({"a": (Arm(pay=coin(accepted)), Arm(pay=sure(0.25)))})
    assert share.min() > 0.95 if shown else share.max() < 0.05


@pytest.mark.parametrize("tokens", [1, 8])
def test_equal_answers_stay(tokens: int) -> None:
    """Neither of two answers that earn alike takes over, the longer one included."""
    share = shares({"a": (Arm(pay=coin(0.5), tokens=tokens), Arm(pay=coin(0.5)))}, lives=4)
    assert 0.15 < share.mean() < 0.85


def test_a_segment_is_measured_against_itself() -> None:
    """In an easy segment and in a hard one the better answer wins, though all of the easy one's pay more."""
    easy, hard = (coin(0.9), coin(0.75)), (coin(0.25), coin(0.1))
    given = {
        name: (Arm(pay=better), Arm(pay=worse))
        for name, (better, worse) in (("easy", easy), ("hard", hard))
    }
    assert shares(given).min() > 0.85


@pytest.mark.parametrize(("long", "short"), [(0.6, 0.5), (0.5, 0.6)])
def test_length_is_no_merit(long: float, short: float) -> None:
    """Of a long answer and a short one the one that earns more wins, whichever it is."""
    share = shares({"a": (Arm(pay=coin(long), tokens=8), Arm(pay=coin(short)))})
    assert share.min() > 0.9 if long > short else share.max() < 0.1
