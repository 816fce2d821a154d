"""Token credit: what an edit left is up, what it deleted down, and the answer is worth what it was."""

from collections.abc import Sequence

import pytest
from episodes_by_hand import did, episode
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.spec.spec import Spec
from rlwd.rewards.spec.term import PartTable
from rlwd.rewards.spec.token_credit import token_credit
from rlwd.rewards.spec.verification import TrustProfile
from rlwd.streams.events.episode import Episode
from rlwd.streams.events.signals import Accepted, Edited

SPEC = Spec(name="edits", parts={"accepted": 1.0, "edit_similarity": 3.0})
ANSWER = "keep this drop that"


def spell(ids: Sequence[int]) -> list[bytes] | None:
    """One id is one letter, 0 the end of the answer."""
    return None if 999 in ids else [bytes([one]) if one else b"" for one in ids]


def edited(final: str, *more: Accepted, text: str = ANSWER, ids: Sequence[int] = ()) -> Episode:
    """An answer that was edited."""
    said = [did(Edited(final_text=final), 1.0), *(did(one, 2.0) for one in more)]
    return episode(
        *said,
        text=text,
        completion_token_ids=tuple(ids or (*text.encode(), 0)),
    )


def test_what_was_left_is_up_and_what_was_deleted_is_down() -> None:
    """Tokens of words that still stand get more than the answer, the others less, the end neither."""
    credit = token_credit(SPEC, edited("keep this"), spell)
    assert len(credit) == len(ANSWER) + 1
    assert credit[-1] == 0.0
    kept, deleted = credit[: len("keep this")], credit[len("keep this ") : -1]
    assert min(kept) > 0 > max(deleted)
    assert sum(credit) == pytest.approx(0.0, abs=1e-12)
    # With the edit alone the share is 1: a token that stands is worth 1, a deleted one 0.
    assert max(credit) - min(credit) == pytest.approx(1.0)


def test_the_share_is_the_edits_in_the_reward() -> None:
    """Beside an acceptance of weight 1 the edit's 3 of 4 is what is at stake; a range widens it."""
    both = token_credit(SPEC, edited("keep this", Accepted()), spell)
    assert max(both) - min(both) == pytest.approx(0.75)
    half = Spec(name="half", parts=SPEC.parts, range=(-1.0, 1.0))
    wide = token_credit(half, edited("keep this", Accepted()), spell)
    assert max(wide) - min(wide) == pytest.approx(0.375)


def test_an_edit_that_is_believed_little_says_little_of_tokens() -> None:
    """The share is what the edit weighs in the reward: by its profile, and beside a chain's outcome."""
    doubted = Spec(name="doubted", parts=SPEC.parts, trust={"edited": TrustProfile(veracity=0.6)})
    one = edited("keep this", Accepted())
    reward = doubted.reward(one)
    assert reward is not None
    weights = {part.name: part.weight for part in reward.parts}
    credit = token_credit(doubted, one, spell)
    assert max(credit) - min(credit) == pytest.approx(
        weights["edit_similarity"] / sum(weights.values())
    )


def test_the_part_whose_horizon_an_edit_kept_speaks() -> None:
    """Of two parts of an edit's the one that it came too late for says nothing of the tokens."""
    spec = Spec(
        name="two",
        parts={
            "edit_similarity": PartTable(weight=1.0, horizon=0.5),
            "edit_words": 1.0,
            "accepted": 1.0,
        },
    )
    credit = token_credit(spec, edited("keep this", Accepted()), spell)
    assert max(credit) - min(credit) == pytest.approx(0.5)


def test_an_answer_that_nobody_decided_on_is_worth_its_value_in_each_token() -> None:
    """The undecided value stands for the parts: an edit that decides nothing speaks for no token."""
    spec = Spec(
        name="undecided",
        parts={"accepted": 1.0, "edit_similarity": 1.0},
        decisive=("accepted",),
        undecided={"default": 0.5},
    )
    one = edited("keep this")
    reward = spec.undecided_reward(one)
    assert reward is not None
    assert reward.undecided == 0.5
    assert token_credit(spec, one, spell) == ()
    assert token_credit(spec, edited("keep this", Accepted()), spell) != ()


@pytest.mark.parametrize(
    "one",
    [
        edited(ANSWER),
        edited("nothing of it"),
        edited("keep this", ids=(*b"other letters than these", 0)),
        edited("keep this", ids=(*ANSWER.encode(), 999)),
        episode(did(Accepted(), 1.0), text=ANSWER, completion_token_ids=tuple(ANSWER.encode())),
    ],
    ids=["all stands", "nothing stands", "other text", "unknown token", "no edit"],
)
def test_without_two_kinds_of_tokens_the_credit_is_the_answers(one: Episode) -> None:
    """Nobody can say which token did it: no token gets a credit of its own."""
    assert token_credit(SPEC, one, spell) == ()


@given(
    st.lists(st.sampled_from("abc "), max_size=30), st.lists(st.sampled_from("abc "), max_size=30)
)
def test_the_answer_as_a_whole_is_worth_what_it_was(before: list[str], after: list[str]) -> None:
    """Whatever was edited, the credits sum to zero and none is beyond the reward's own range."""
    text, final = "".join(before), "".join(after)
    credit = token_credit(SPEC, edited(final, text=text or "a"), spell)
    assert sum(credit) == pytest.approx(0.0, abs=1e-9)
    assert all(-1.0 <= one <= 1.0 for one in credit)
