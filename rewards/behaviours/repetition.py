"""Repetition: how much of an answer it has said before."""

from ...streams.events.generation import Generation
from .answer_view import view_of

LOOKED_AT = 8000
"""Characters at the end of an answer that are looked at: a loop goes on to the end."""
LEAST_WORDS = 8
"""Of fewer words nothing is said."""


def repetition(generation: Generation) -> float | None:
    """Return the share of an answer's runs of four words that stood in it before, in [0, 1].

    Of scripts without spaces, runs of eight characters. 0 for an answer of fewer than eight words,
    None without content.
    """
    view = view_of(generation)
    if not view.holds:
        return None
    text = generation.text[-LOOKED_AT:]
    words = text.split() if len(text) < len(generation.text) else view.words
    if len(text) > 16 * len(words):
        joined = "".join(words)
        if len(joined) < 4 * LEAST_WORDS:
            return 0.0
        runs = len(joined) - 7
        return 1.0 - len({joined[at : at + 8] for at in range(runs)}) / runs
    if len(words) < LEAST_WORDS:
        return 0.0
    return 1.0 - len(set(zip(words, words[1:], words[2:], words[3:], strict=False))) / (
        len(words) - 3
    )
