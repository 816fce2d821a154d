"""Parts by words, by each way of turning down, by copies and by checks."""

import pytest
from episodes_by_hand import did, episode
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.parts.checked import checked
from rlwd.rewards.parts.copied import copied, copied_share
from rlwd.rewards.parts.edit_similarity import edit_similarity
from rlwd.rewards.parts.edit_survival import edit_survival, edit_words
from rlwd.rewards.parts.tool_ok import tool_ok
from rlwd.rewards.parts.turned_down import interrupted, regenerated, undone
from rlwd.streams.events.episode import Timed
from rlwd.streams.events.signals import (
    Accepted,
    Checked,
    Copied,
    Edited,
    Interrupted,
    Rated,
    Regenerated,
    Rejected,
    ToolResult,
    Undone,
)

TEXT = "Dear Ana, the invoice is paid."


@pytest.mark.parametrize(
    ("final", "similar", "survived"),
    [
        (TEXT, 1.0, 1.0),
        ("Dear  Ana,\nthe invoice is paid.", 1.0, 1.0),
        # Of eight words and marks one was replaced, which has 7 of 25 characters.
        ("Dear Ana, the bill is paid.", 7 / 8, 18 / 25),
        # Twice as long: half of it is new, and nothing was taken away.
        (TEXT + " Dear Ana, the invoice is paid.", 0.5, 1.0),
        ("", 0.0, 0.0),
    ],
)
def test_an_edit_by_words(final: str, similar: float, survived: float) -> None:
    """What a person adds lowers how alike the texts are, and not how much of the answer stands."""
    edited = episode(did(Edited(final_text=final), 1.0), text=TEXT)
    assert edit_words(edited) == similar
    assert edit_survival(edited) == survived


def test_texts_of_any_length_that_are_the_same_are_alike() -> None:
    """Nothing is compared there; what differs and is too long has no value."""
    long = "one two " * 30_000
    same = episode(did(Edited(final_text=long), 1.0), text=long)
    assert (edit_similarity(same), edit_words(same), edit_survival(same)) == (1.0, 1.0, 1.0)
    other = episode(did(Edited(final_text="x" + long), 1.0), text=long)
    assert (edit_similarity(other), edit_words(other)) == (None, None)


def test_without_an_edit_or_a_text_nothing_is_known() -> None:
    """Not edited, not captured, nothing but white space: no value."""
    assert edit_survival(episode(did(Accepted(), 1.0))) is None
    assert edit_words(episode(did(Edited(final_text="x"), 1.0), text="")) is None
    assert edit_survival(episode(did(Edited(final_text="x"), 1.0), text=" \n")) is None


WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@given(WORDS.filter(bool), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)), WORDS)
def test_the_more_is_deleted_the_less_survives(
    words: list[str], deleted: set[int], more: set[int], added: list[str]
) -> None:
    """Exactly the share of words that stand; what is added at the end lowers nothing."""

    def standing(gone: set[int], added: list[str]) -> float:
        left = [word for at, word in enumerate(words) if at not in gone]
        final = " ".join([*left, *added])
        value = edit_survival(episode(did(Edited(final_text=final), 1.0), text=" ".join(words)))
        assert value is not None
        return value

    left = sum(at not in deleted for at in range(len(words)))
    assert standing(deleted, []) == left / len(words)
    assert standing(deleted | more, []) <= standing(deleted, []) <= standing(deleted, added) <= 1.0


@pytest.mark.parametrize(
    ("feedback", "worth"),
    [
        ((), (None, None, None)),
        ((did(Rated(value=1.0), 1.0),), (None, None, None)),
        ((did(Accepted(), 1.0),), (1.0, 1.0, 1.0)),
        ((did(Rejected(), 1.0),), (None, 1.0, 1.0)),
        ((did(Accepted(), 1.0), did(Undone(), 2.0)), (0.0, 1.0, 1.0)),
        ((did(Undone(), 2.0, received=3.0), did(Accepted(), 1.0, received=9.0)), (0.0, 1.0, 1.0)),
        ((did(Undone(), 1.0), did(Accepted(), 2.0)), (1.0, 1.0, 1.0)),
        ((did(Interrupted(), 1.0),), (None, 0.0, 1.0)),
        ((did(Interrupted(), 1.0), did(Accepted(), 2.0)), (1.0, 0.0, 1.0)),
        ((did(Regenerated(), 1.0), did(Accepted(), 2.0)), (1.0, 1.0, 0.0)),
    ],
)
def test_each_way_of_turning_down_by_itself(
    feedback: tuple[Timed, ...], worth: tuple[float | None, ...]
) -> None:
    """0 where it happened, 1 where the person decided without it, open where nobody decided."""
    some = episode(*feedback)
    assert (undone(some), interrupted(some), regenerated(some)) == worth


def copies(*texts: str) -> list[Timed]:
    return [did(Copied(text=text), float(at)) for at, text in enumerate(texts, start=1)]


@pytest.mark.parametrize(
    ("texts", "any_copy", "share"),
    [
        ((), None, None),
        (("the invoice",), 1.0, 10 / 25),
        (("the invoice", " the invoice\n"), 1.0, 10 / 25),
        (("the invoice", "invoice is paid."), 1.0, 17 / 25),
        ((TEXT,), 1.0, 1.0),
        (("",), 1.0, 1.0),
        (("elsewhere",), 1.0, None),
        ((" \n",), None, None),
    ],
)
def test_a_copy_is_worth_what_was_copied(
    texts: tuple[str, ...], any_copy: float | None, share: float | None
) -> None:
    """Passages count once, white space does not, and that nobody copied says nothing."""
    some = episode(*copies(*texts), text=TEXT)
    assert copied(some) == any_copy
    assert copied_share(some) == (share)


@given(st.lists(st.text("ab ", max_size=4), max_size=4), st.text("ab ", max_size=4))
def test_another_copy_never_lowers_the_share(texts: list[str], another: str) -> None:
    """And in whatever order copies came, the share is the same."""
    text = "ab ba aab bba"
    before = copied_share(episode(*copies(*texts), text=text)) or 0.0
    after = copied_share(episode(*copies(*texts, another), text=text)) or 0.0
    assert 0.0 <= before <= after <= 1.0
    assert copied_share(episode(*copies(another, *texts), text=text)) == (after or None)


def test_each_check_counts_once_by_its_last_run() -> None:
    """Without a name the share that passed; checked again, the later run; never run, no value."""
    ran = episode(
        did(Checked(name="json", passed=False), 1.0),
        did(Checked(name="json", passed=True), 2.0),
        did(Checked(name="short", passed=False), 1.5),
        did(Checked(name="short", passed=True), 1.0, received=9.0),
    )
    assert (checked(ran), checked(ran, name="json"), checked(ran, name="short")) == (0.5, 1.0, 0.0)
    assert checked(ran, name="polite") is None
    assert checked(episode()) is None


def test_failed_calls_by_class() -> None:
    """Of four that can be judged one was written wrongly: that class is worth 0.75, all are 0.5."""
    errors = (None, None, "invalid_arguments", "unexpected_environment", "provider_error")
    called = episode(
        *[
            did(ToolResult(tool="run", error_class=error), float(at))  # type: ignore[arg-type]
            for at, error in enumerate(errors)
        ]
    )
    assert tool_ok(called, error_class="invalid_arguments") == 0.75
    assert tool_ok(called) == 0.5
