"""Surviving: what of an answer still stands after an edit, by characters and by completion tokens.

Words are aligned and not characters: a sentence that was written anew shares most of its letters with
the one before it, and hardly a word.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from rapidfuzz.distance import LCSseq

MOST_WORK = 10_000**2
"""Most that is aligned, as one text's words times the other's: 0.1 s and 13 MB."""

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+|[^\w\s]|_")
"""A run of letters, a run of digits, or any other character by itself, as each of those is that are
written without spaces between words (Chinese, Japanese). `get_user` are three."""


class TextSpan(NamedTuple):
    """Characters of a text, from the first to before the last."""

    begin: int
    end: int


@lru_cache(maxsize=4)
def words(text: str) -> tuple[str, ...]:
    """Return the words and marks of a text, without white space; several parts ask the same edit.

    >>> words("x = get_user(7)")
    ('x', '=', 'get', '_', 'user', '(', '7', ')')
    """
    return tuple(WORD.findall(text))


def surviving_spans(text: str, final_text: str) -> tuple[TextSpan, ...] | None:
    """Return the words of a text that still stand in the final one, in order; None where too long.

    They are of a longest common subsequence of words. A run of it without a letter or a digit does
    not count where the text has any: commas and brackets stand in every text.

    >>> [("a cat sat"[s.begin:s.end]) for s in surviving_spans("a cat sat", "a dog sat")]
    ['a', 'sat']
    """
    places = surviving_words(words(text), words(final_text))
    if places is None:
        return None
    found = [TextSpan(*match.span()) for match in WORD.finditer(text)]
    return tuple([found[at] for at in places])


def surviving_words(before: tuple[str, ...], after: tuple[str, ...]) -> Sequence[int] | None:
    """Return the places of the words that `surviving_spans` returns."""
    if before == after:
        return range(len(before))
    if len(before) * len(after) > MOST_WORK:
        return None
    # What was only added to stands as one run.
    if before == after[: len(before)]:
        return range(len(before))
    marks_count = not any(word[0].isalnum() for word in before)
    stands = list[int]()
    for step in LCSseq.opcodes(before, after):
        run = range(step.src_start, step.src_end)
        if step.tag == "equal" and (marks_count or any(before[at][0].isalnum() for at in run)):
            stands += run
    return stands


def surviving_tokens(
    text: str, final_text: str, tokens: Sequence[TextSpan | None]
) -> tuple[bool | None, ...] | None:
    """Return for each completion token whether it survived the edit; None where too long to say.

    `tokens` has the characters of the text that each token spells (`token_spans`), None for one that
    spells none of it: an end token, reasoning, a tool call. Such a one neither survived nor was
    deleted: None. A token survived where every character of it that is no white space did; one of
    white space alone where the characters around it did.
    """
    spans = surviving_spans(text, final_text)
    if spans is None:
        return None
    stands = bytearray(len(text))
    for begin, end in spans:
        stands[begin:end] = b"\1" * (end - begin)
    said = [not character.isspace() for character in text]
    # How many characters before each place were said, and how many of these were deleted.
    deleted = list(accumulate((s and not k for s, k in zip(said, stands, strict=True)), initial=0))
    before = _nearest(said, range(len(text)))
    behind = _nearest(said, range(len(text) - 1, -1, -1))
    fates = list[bool | None]()
    for token in tokens:
        if token is None or token.begin == token.end:
            fates.append(None)
            continue
        begin, end = token
        if not any(said[begin:end]):
            begin, end = before[begin], behind[end - 1] + 1
        fates.append(deleted[begin] == deleted[end])
    return tuple(fates)


def _nearest(said: Sequence[bool], places: range) -> list[int]:
    """Return for each place the last one on the way to it that was said; itself where none was."""
    found, last = list(places), -1
    for place in places:
        last = place if said[place] else last
        found[place] = last if last >= 0 else place
    return found


def token_spans(pieces: Sequence[bytes], text: str) -> tuple[TextSpan | None, ...] | None:
    """Return the characters of an answer's text that each completion token spells.

    A record holds token ids and the text, and no offsets; `pieces` are the bytes of each id in the
    tokenizer's vocabulary, none for special tokens. The text is what they end with, or the only
    place where they spell it, since reasoning and tool calls stand around it. A character of several
    tokens belongs to each of them. None where the pieces do not spell the text, or several times
    inside: then nobody can say which token was which, and an edit's credit is for the whole answer.

    >>> token_spans([b"<think>", b"hm", b"</think>", b"Hel", b"lo", b""], "Hello")
    (None, None, None, TextSpan(begin=0, end=3), TextSpan(begin=3, end=5), None)
    """
    spelt, sought = b"".join(pieces), text.encode()
    if not sought:
        return None
    first = len(spelt) - len(sought) if spelt.endswith(sought) else spelt.find(sought)
    if first < 0 or (not spelt.endswith(sought) and spelt.find(sought, first + 1) >= 0):
        return None
    # The character that each byte of the text belongs to.
    character = list(accumulate((byte & 0xC0) != 0x80 for byte in sought))
    spans = list[TextSpan | None]()
    for piece, end in zip(pieces, accumulate(len(piece) for piece in pieces), strict=True):
        low, high = max(end - len(piece) - first, 0), min(end - first, len(sought))
        spans.append(TextSpan(character[low] - 1, character[high - 1]) if low < high else None)
    return tuple(spans)
