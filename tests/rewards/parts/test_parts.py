"""Each part of a reward on its own: what somebody did, and the number it is worth."""

import pytest
from episodes_by_hand import did, episode
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.parts.accepted import accepted
from rlwd.rewards.parts.edit_similarity import edit_similarity
from rlwd.rewards.parts.kept import kept
from rlwd.rewards.parts.last_signal import last_signal
from rlwd.rewards.parts.outcome import outcome
from rlwd.rewards.parts.rated import rated
from rlwd.rewards.parts.resolved import resolved
from rlwd.rewards.parts.tool_ok import tool_ok
from rlwd.streams.events.episode import Timed
from rlwd.streams.events.signals import (
    Accepted,
    Copied,
    Edited,
    ErrorClass,
    Escalated,
    FollowedUp,
    Interrupted,
    Kept,
    Outcome,
    Rated,
    Regenerated,
    Rejected,
    Resolved,
    ToolResult,
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
        ((did(Interrupted(), 1.0),), 0.0),
        ((did(Interrupted(), 1.0), did(Accepted(), 2.0)), 1.0),
        ((did(Accepted(), 1.0), did(Regenerated(), 2.0)), 0.0),
        ((did(Regenerated(new_generation_id="s1.g2"), 1.0), did(Accepted(), 2.0)), 1.0),
        ((did(Copied(), 1.0), did(FollowedUp(text="no"), 2.0)), None),
        ((did(Edited(final_text="abce"), 1.0),), None),
        ((did(Accepted(), 1.0), did(Edited(final_text="x"), 2.0)), 1.0),
        # The undoing came in first, but was done last: what people did counts, not the network.
        ((did(Undone(), 2.0, received=3.0), did(Accepted(), 1.0, received=9.0)), 0.0),
    ],
)
def test_the_last_decision_is_what_counts(feedback: tuple[Timed, ...], worth: float | None) -> None:
    """Accepted is 1, all other decisions are 0, and without one there is no value at all."""
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
    last = last_signal(twice, Edited)
    assert last is not None
    assert last.final_text == "abcx"
    assert edit_similarity(twice) == 0.75


def test_without_a_text_an_edit_has_no_value() -> None:
    """An answer that was not captured cannot be compared; an answer nobody edited neither."""
    assert edit_similarity(episode(did(Edited(final_text="abcd"), 1.0), text="")) is None
    assert edit_similarity(episode(did(Accepted(), 1.0))) is None


def test_texts_too_long_to_compare_have_no_value() -> None:
    """Two megabytes that differ would hold up all of ingest for a minute; a long text and a short one do not."""
    long = "a" * 50_001
    other = episode(did(Edited(final_text="b" + long), 1.0), text=long)
    assert edit_similarity(other) is None
    worth = edit_similarity(episode(did(Edited(final_text="a" * 1000), 1.0), text=long))
    assert worth == pytest.approx(1000 / 50_001)


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
    overtaken = episode(
        did(Kept(fraction=0.2, horizon_seconds=30.0), 31.0, received=40.0),
        did(Kept(fraction=0.9, horizon_seconds=30.0), 30.0, received=50.0),
    )
    assert kept(overtaken) == 0.2, "by when it was measured, not by when that came"


def test_the_last_rating_counts() -> None:
    """People may change their mind; without a rating there is no value."""
    assert rated(episode(did(Rated(value=0.2), 1.0), did(Rated(value=0.8), 2.0))) == 0.8
    assert rated(episode(did(Accepted(), 1.0))) is None


@pytest.mark.parametrize(
    ("feedback", "worth"),
    [
        ((did(Resolved(), 1.0),), 1.0),
        ((did(Escalated(), 1.0),), 0.0),
        ((did(Resolved(), 1.0), did(Escalated(), 2.0)), 0.0),
        ((did(Escalated(), 1.0), did(Resolved(), 2.0)), 1.0),
        # Received the other way round: what happened last still counts.
        ((did(Escalated(), 2.0, received=3.0), did(Resolved(), 1.0, received=9.0)), 0.0),
        ((did(Accepted(), 1.0),), None),
    ],
)
def test_a_settled_matter_can_come_back(feedback: tuple[Timed, ...], worth: float | None) -> None:
    """Resolved is 1 and escalated 0, whichever happened last; an acceptance is neither."""
    assert resolved(episode(*feedback)) == worth


def test_each_outcome_counts_once_by_its_last_value() -> None:
    """Without a name the mean over outcomes, measured again the later; the amount never counts."""
    came = episode(
        did(Outcome(name="merged", value=0.0), 1.0),
        did(Outcome(name="merged", value=1.0), 2.0),
        did(Outcome(name="sold", value=0.5, amount=1e9, unit="EUR"), 1.5),
    )
    assert outcome(came) == 0.75
    assert outcome(came, name="merged") == 1.0
    assert outcome(came, name="returned") is None
    assert outcome(episode(did(Resolved(), 1.0))) is None


@pytest.mark.parametrize(
    ("errors", "worth"),
    [
        ((None,), 1.0),
        (("invalid_arguments",), 0.0),
        (("unexpected_environment",), 0.0),
        ((None, None, "invalid_arguments", "unexpected_environment"), 0.5),
        (("provider_error",), None),
        (("user_aborted",), None),
        (("timeout",), None),
        (("unknown",), None),
        ((None, "provider_error", "user_aborted", "timeout", "unknown"), 1.0),
        (("invalid_arguments", "provider_error", "timeout"), 0.0),
        ((), None),
    ],
)
def test_only_the_policys_own_faults_count(
    errors: tuple[ErrorClass | None, ...], worth: float | None
) -> None:
    """An outage, a person's stop, a timeout and the unclassified neither punish nor reward it."""
    results = [
        did(ToolResult(tool="search", error_class=error), float(at))
        for at, error in enumerate(errors)
    ]
    assert tool_ok(episode(*results)) == worth
