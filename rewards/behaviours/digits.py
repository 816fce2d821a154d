"""Digits: how much of an answer is digits."""

from ...streams.events.generation import Generation
from .content import holds_answer


def digits(generation: Generation) -> float | None:
    """Return the share of digits among the characters of an answer that are no blanks, in [0, 1].

    A policy that was paid for a shape (few words, one line) wrote dates and numbers; prose has about
    0.01, code 0.03. None without content, or without text.
    """
    if not holds_answer(generation):
        return None
    text = generation.text
    size = len(text) - text.count(" ") - text.count("\n")
    return sum(map(text.count, "0123456789")) / size if size else None
