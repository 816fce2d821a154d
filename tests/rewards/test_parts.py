"""Each part of a reward on its own: what somebody did, and the number it is worth."""

import pytest
from episodes_by_hand import did, episode
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.accept import accepted, edited
from rlwd.rewards.edit import edit_similarity
from rlwd.rewards.keep import kept
from rlwd.rewards.rating import rated
from rlwd.streams.episode import Timed
from rlwd.streams.event import (
    Accepted,
    Copied,
    Edited,
    FollowedUp,
    Kept,
    Rated,
    Rejected,
    Undone,
)


@pytest.mark.parametrize(
    ("feedback", "worth"),
    [
        ((), None),
        ((did(Accepted(), 1.0),), 1.0),
        ((did(Rejected(), 1.0),), 0.0),
        ((did(Accepted(), 1.0), did(Undone(), 2.0)), 0.0),
        ((did(Undone(), 1.0), did(Accepted(), 2.0)), 1.0),
        ((did(Rejected(), 1.0), did(Accepted(), 2.0)), 1.0),
        ((did(Copied(), 1.0), did(FollowedUp(text="no"), 2.0)), None),
        ((did(Edited(final_text="abce"), 1.0),), None),
        ((did(Accepted(), 1.0), did(Edited(final_text="x"), 2.0)), 1.0),
        # The undoing came in first, but was done last: what people did counts, not the network.
        ((did(Undone(), 2.0, received=3.0), did(Accepted(), 1.0, received=9.0)), 0.0),
    ],
)
def test_the_last_decision_is_what_counts(feedback: tuple[Timed, ...], worth: float | None) -> None:
    """Accepted is 1, rejected or undone 0, and without a decision there is no value at all."""
    assert accepted(episode(*feedback)) == worth


@pytest.mark.parametrize(
    ("final", "worth"), [("abcd", 1.0), ("abcx", 0.75), ("", 0.0), ("abcdefgh", 0.5), ("wxyz", 0.0)]
)
def test_an_edit_is_worth_what_it_left_standing(final: str, worth: float) -> None:
    """One minus the edit distance over the longer text: of abcd, abcx leaves three quarters."""
    assert edit_similarity(episode(did(Edited(final_text=final), 1.0))) == worth


def test_the_last_edit_counts() -> None:
    """Edited twice, what stood there in the end is compared."""
    twice = episode(did(Edited(final_text="abxx"), 1.0), did(Edited(final_text="abcx"), 2.0))
    assert edited(twice) == "abcx"
    assert edit_similarity(twice) == 0.75


def test_without_a_text_an_edit_has_no_value() -> None:
    """An answer that was not captured cannot be compared; an answer nobody edited neither."""
    assert edit_similarity(episode(did(Edited(final_text="abcd"), 1.0), text="")) is None
    assert edit_similarity(episode(did(Accepted(), 1.0))) is None


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_an_edits_worth_is_a_fraction(final: str, text: str) -> None:
    """Whatever the texts, the worth lies in [0, 1], and is 1 only for the same text."""
    worth = edit_similarity(episode(did(Edited(final_text=final), 1.0), text=text))
    assert worth is not None
    assert 0.0 <= worth <= 1.0
    assert (worth == 1.0) == (final == text)


def test_kept_at_a_horizon_or_at_the_longest() -> None:
    """By default the longest horizon measured counts; one that was not measured has no value."""
    measured = episode(
        did(Kept(fraction=0.9, horizon_seconds=30.0), 30.0),
        did(Kept(fraction=0.4, horizon_seconds=300.0), 300.0),
        did(Kept(fraction=0.6, horizon_seconds=120.0), 120.0),
    )
    assert kept(measured) == 0.4
    assert kept(measured, horizon_seconds=120.0) == 0.6
    assert kept(measured, horizon_seconds=15.0) is None
    assert kept(episode()) is None


def test_measured_again_the_later_counts() -> None:
    """A second measurement at one horizon replaces the first."""
    again = episode(
        did(Kept(fraction=0.9, horizon_seconds=30.0), 30.0),
        did(Kept(fraction=0.2, horizon_seconds=30.0), 31.0),
    )
    assert kept(again) == 0.2


def test_the_last_rating_counts() -> None:
    """People may change their mind; without a rating there is no value."""
    assert rated(episode(did(Rated(value=0.2), 1.0), did(Rated(value=0.8), 2.0))) == 0.8
    assert rated(episode(did(Accepted(), 1.0))) is None
