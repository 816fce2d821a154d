"""Likeness: how much of an answer's words are the request's, and whether it copies them."""

import re

from ...streams.events.generation import Generation
from .content import asked, holds_answer

_WORD = re.compile(r"[^\W\d_]{3,}|[\u3040-\u30ff\u4e00-\u9fff]")
LOOKED_AT = 6000
"""Characters of the answer, from its beginning, and of the request, to its end."""
RUN = 4
"""Words in a row that are a copy."""


def likeness(generation: Generation) -> float | None:
    """Return the share of an answer's different words that the request holds, in [0, 1].

    1 says nothing of its own; 0 has nothing to do with what was asked, as dates and digits have not.
    Words are of three letters or more. None without content, or where no person's message is there.
    """
    if not generation.input or not holds_answer(generation):
        return None
    request = asked(generation, LOOKED_AT)
    if not request:
        return None
    said = set(_WORD.findall(generation.text[:LOOKED_AT].lower()))
    if not said:
        return 0.0
    return len(said.intersection(_WORD.findall(request.lower()))) / len(said)


def copies_request(generation: Generation) -> float | None:
    """Return the share of an answer's runs of four words that stand in the request, in [0, 1].

    None as `likeness`. An answer of fewer than four words has no run: it is no copy.
    """
    alike = likeness(generation)
    if alike is None or alike < 0.3:
        return None if alike is None else 0.0
    said = _WORD.findall(generation.text[:LOOKED_AT].lower())
    if len(said) < RUN:
        return 0.0
    given = _runs(_WORD.findall(asked(generation, LOOKED_AT).lower()))
    return sum(run in given for run in zip(*(said[at:] for at in range(RUN)), strict=False)) / (
        len(said) - RUN + 1
    )


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return set(zip(*(words[at:] for at in range(RUN)), strict=False))
