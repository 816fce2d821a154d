"""Shown text: what people and models wrote, as a terminal may show it."""

import unicodedata

from rich.text import Text

KEPT = "\n\t"
_TURNS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
"""Bidirectional classes of characters that turn the direction of what follows."""


def shown(text: str) -> Text:
    r"""Return a text with its control characters written out: none of them moves an operator's cursor.

    A model names its tools and writes its answers as its users ask it to. What turns the direction
    of writing is written out too.

    >>> shown("a\x1b[2J\u202eb").plain
    'a\\x1b[2J\\u202eb'
    """
    if text.isascii() and text.isprintable():
        return Text(text)
    return Text("".join(map(_visible, text)))


def _visible(one: str) -> str:
    control = unicodedata.category(one) in ("Cc", "Cs") and one not in KEPT
    if control or unicodedata.bidirectional(one) in _TURNS:
        return one.encode("unicode_escape", "surrogatepass").decode()
    return one
