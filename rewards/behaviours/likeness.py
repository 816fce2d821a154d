"""Likeness: how much of an answer's words are the request's, and whether it copies them."""

import re

from ...streams.events.generation import Generation
from .answer_view import view_of
from .content import asked

_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\d_]+")
_BLANKS = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalpha()})
_LOW = bytes(ord(chr(code).lower()) if chr(code).isalpha() else 32 for code in range(128)).ljust(
    256
)
"""Of each byte the small letter; of what is none a blank."""
LOOKED_AT = 6000
"""Characters of the answer, from its beginning, and of the request, to its end."""
RUN = 4
"""Words in a row that are a copy."""


def likeness(generation: Generation) -> float | None:
    """Return the share of an answer's different words that the request holds, in [0, 1].

    1 says nothing of its own; 0 has nothing to do with what was asked, as dates and digits have not.
    Words are of three letters or more. None without content, or where no person's message is there.
    """
    view = view_of(generation)
    if not generation.input or not view.holds:
        return None
    answer, request = generation.text[:LOOKED_AT], asked(generation, LOOKED_AT)
    if not request:
        return None
    # Words hold no blank, so that what stands between blanks needs to be read only once.
    if len(answer) == len(generation.text):
        answer = " ".join(view.vocabulary)
    if answer.isascii() and request.isascii():
        said = {word for word in set(_letters(answer)) if len(word) > 2}
        return len(said.intersection(_letters(request))) / len(said) if said else 0.0
    held = {word for word in set(_words(answer)) if len(word) > 2 or not word.isascii()}
    return len(held.intersection(_words(request))) / len(held) if held else 0.0


def copies_request(generation: Generation) -> float | None:
    """Return the share of an answer's runs of four words that stand in the request, in [0, 1].

    None as `likeness`. An answer of fewer than four words has no run: it is no copy.
    """
    alike = likeness(generation)
    if alike is None or alike < 0.3:
        return None if alike is None else 0.0
    said = _words(generation.text[:LOOKED_AT])
    if len(said) < RUN:
        return 0.0
    given = _runs(_words(asked(generation, LOOKED_AT)))
    return sum(run in given for run in zip(*(said[at:] for at in range(RUN)), strict=False)) / (
        len(said) - RUN + 1
    )


def _words(text: str) -> list[str]:
    text = text.lower()
    return text.translate(_BLANKS).split() if text.isascii() else _WORD.findall(text)


def _letters(text: str) -> list[bytes]:
    """Return the same of a text in ASCII, in a third of the time."""
    return text.encode().translate(_LOW).split()


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return set(zip(*(words[at:] for at in range(RUN)), strict=False))
