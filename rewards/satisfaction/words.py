"""Words of a text, and how alike two texts are by them."""

import re

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return _WORD.findall(text.lower())


def likeness(one: str, other: str) -> float:
    """Return the share of words that two texts have in common, of those that either has.

    >>> likeness("sort the list", "Sort the list!"), likeness("sort the list", ""), likeness("a", "b")
    (1.0, 0.0, 0.0)
    """
    first, second = set(words(one)), set(words(other))
    return len(first & second) / len(first | second) if first and second else 0.0
