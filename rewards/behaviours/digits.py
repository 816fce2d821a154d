"""Digits: how much of an answer is digits."""

from ...streams.events.generation import Generation
from .answer_view import view_of


def digits(generation: Generation) -> float | None:
    """Return the share of digits among the characters of an answer that are no blanks, in [0, 1].

    A policy that was paid for a shape (few words, one line) wrote dates and numbers; prose has about
    0.01, code 0.03. None without content, or without text.
    """
    if not view_of(generation).holds:
        return None
    text = generation.text
    size = len(text) - text.count(" ") - text.count("\n")
    # In UTF-8 the byte of a digit is part of no other character.
    raw = text.encode()
    return (len(raw) - len(raw.translate(None, b"0123456789"))) / size if size else None
