"""Which words and completion tokens of an answer stand after an edit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.parts.surviving import (
    TextSpan,
    surviving_spans,
    surviving_tokens,
    token_spans,
)

THOUGHT = [b"<think>", b"ok", b"</think>"]


def survived(pieces: list[bytes], text: str, final: str) -> str:
    """One mark for each token: + survived, - deleted, . neither."""
    tokens = token_spans(pieces, text)
    assert tokens is not None
    fates = surviving_tokens(text, final, tokens)
    assert fates is not None
    return "".join({True: "+", False: "-", None: "."}[fate] for fate in fates)


def pieces(text: str, *sizes: int) -> list[bytes]:
    """Cut the bytes of a text."""
    raw, cut = text.encode(), list[bytes]()
    for size in sizes:
        cut, raw = [*cut, raw[:size]], raw[size:]
    return [*cut, raw]


@pytest.mark.parametrize(
    ("cut", "final", "fates"),
    [
        # the| cat| sat| down
        ((3, 4, 4), "the cat sat down", "++++"),
        ((3, 4, 4), "the dog sat down", "+-++"),
        ((3, 4, 4), "", "----"),
        ((3, 4, 4), "Now see: the big cat sat right down.", "++++"),
        # Other white space is no deletion.
        ((3, 4, 4), "the\n  cat sat down", "++++"),
        # A token of several words survives whole or not at all.
        ((7, 4), "the dog sat down", "-++"),
        # White space alone goes with the words around it.
        ((3, 1, 3, 1, 3), "the dog sat down", "+--" + "-++"),
        # Pieces of a word share its fate.
        ((3, 2, 2, 4), "the car sat down", "+--++"),
    ],
)
def test_a_token_survives_where_its_words_do(cut: tuple[int, ...], final: str, fates: str) -> None:
    """Every character of it that is no white space must still stand."""
    text = "the cat sat down"
    assert survived(pieces(text, *cut), text, final) == fates


def test_a_sentence_written_anew_shares_letters_and_keeps_nothing() -> None:
    """Letters, commas and brackets are in every text; a word must stand in between to count."""
    text, final = "Dear Ana, (thanks), bye.", "Who, (knows), really."
    assert surviving_spans(text, final) == ()
    assert surviving_spans("?!", "!?") != ()


def test_reasoning_calls_and_end_tokens_are_no_part_of_the_answer() -> None:
    """They neither survive nor are deleted: what the edit says is about the text alone."""
    assert survived([*THOUGHT, b"Hel", b"lo", b" you", b""], "Hello you", "Hello") == "...++-."
    called = [b"Hello", b"<call>", b"{}", b"</call>"]
    assert survived(called, "Hello", "Bye") == "-..."


def test_a_character_of_several_tokens_belongs_to_each() -> None:
    """Bytes of one character in two tokens: both have its fate."""
    text = "a 🙂 b"
    raw = text.encode()
    cut = [raw[:2], raw[2:4], raw[4:6], raw[6:]]
    assert token_spans(cut, text) == (
        TextSpan(0, 2),
        TextSpan(2, 3),
        TextSpan(2, 3),
        TextSpan(3, 5),
    )
    assert survived(cut, text, "a b") == "+--+"


@pytest.mark.parametrize(
    ("spelt", "text"),
    [
        ([b"Hel", b"lo"], "Hallo"),
        ([b"yes", b"...", b"yes", b"<call>"], "yes"),
        ([b"x"], ""),
        ([b"\xff\xfe"], "??"),
    ],
)
def test_where_tokens_do_not_spell_the_text_nobody_says_which_is_which(
    spelt: list[bytes], text: str
) -> None:
    """The answer cannot be found in them, or in two places with something behind it."""
    assert token_spans(spelt, text) is None


def test_the_answer_is_what_the_tokens_end_with() -> None:
    """A thought may quote it before."""
    assert token_spans([b"yes?", b" ", b"yes", b""], "yes") == (None, None, TextSpan(0, 3), None)


def test_texts_too_long_are_not_aligned() -> None:
    """A hundred thousand words against as many would hold up all of ingest."""
    long = "a b " * 20_000
    assert surviving_spans(long, long + "c") is None
    assert surviving_tokens(long, long + "c", [TextSpan(0, 1)]) is None
    assert surviving_spans(long, long) is not None


@given(st.text(max_size=40), st.text(max_size=40), st.lists(st.integers(1, 5), max_size=10))
def test_every_token_has_a_fate_and_the_same_text_keeps_all(
    text: str, final: str, sizes: list[int]
) -> None:
    """Whatever the texts and wherever they are cut, one fate a token; unedited, every one stands."""
    cut = pieces(text, *sizes)
    tokens = token_spans(cut, text)
    if not text:
        assert tokens is None
        return
    assert tokens is not None
    fates = surviving_tokens(text, final, tokens)
    assert fates is not None
    assert len(fates) == len(cut)
    assert [fate is None for fate in fates] == [not piece for piece in cut]
    whole = surviving_tokens(text, text, tokens)
    assert whole is not None
    assert all(fate is not False for fate in whole)
