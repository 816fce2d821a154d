"""Folded: a text as its reader takes it, so that what is written in another way is found all the same.

Full-width forms and digits of other scripts read as ASCII's, characters that nobody sees read as nothing,
and an at sign may be escaped, as URLs and JSON do. Most texts have none of it.
"""

import re
import unicodedata
from array import array
from typing import NamedTuple

_OTHERWISE = re.compile(
    # Invisible: soft hyphen, zero width, direction marks, joiners, byte order mark, tags, selectors.
    "(?P<unseen>[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]+)"
    "|(?P<wide>[\uff01-\uff5e\ufe6b])"
    r"|(?P<at>%40|\\u0040)"
    r"|(?P<digit>(?![0-9])\d)",
    re.IGNORECASE,
)


class Folded(NamedTuple):
    """A text in its plain form."""

    text: str
    """Nowhere longer than what was written."""
    places: "array[int]"
    """For each character, and the end, where it stood in what was written."""

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Return the place in what was written of a place here."""
        return self.places[start], self.places[end]


def fold(text: str) -> Folded | None:
    """Return a text in its plain form; None where it is that already.

    >>> fold("anna%40b.org").text
    'anna@b.org'
    """
    if _OTHERWISE.search(text) is None:
        return None
    parts, places, at = list[str](), array("q"), 0
    for found in _OTHERWISE.finditer(text):
        start, end = found.span()
        parts.append(text[at:start])
        places.extend(range(at, start))
        at = end
        if plain := _plain(found):
            parts.append(plain)
            places.append(start)
    parts.append(text[at:])
    places.extend(range(at, len(text) + 1))
    return Folded("".join(parts), places)


def _plain(found: "re.Match[str]") -> str:
    if found["unseen"]:
        return ""
    if found["at"]:
        return "@"
    if found["digit"]:
        return str(unicodedata.digit(found[0], 0))
    return "@" if found[0] == "\ufe6b" else chr(ord(found[0]) - 0xFEE0)
