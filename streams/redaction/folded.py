"""Folded: a text as its reader takes it, so that what is written in another way is found all the same.

Full-width forms and digits of other scripts read as ASCII's, characters that nobody sees read as nothing,
spaces and dashes in a number read as ASCII's, and a sign may be escaped, as JSON (arguments of tools),
URLs and HTML do: after the `n` of a line feed that is written `\\n`, a number begins like after any other
letter, and is none. Most texts have none of it.
"""

import re
import unicodedata
from array import array
from typing import NamedTuple

_UNSEEN = (
    "\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
)
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_BEGINS = r"[\\%&\u00a0-\U0010ffff]"
_MAY_BE = re.compile(_BEGINS)
"""With what all of it begins: this is far faster to look for."""
_OTHERWISE = re.compile(
    rf"(?={_BEGINS})(?:"
    # Invisible: soft hyphen, zero width, direction marks, joiners, byte order mark, tags, selectors.
    f"(?P<unseen>[{_UNSEEN}]+)"
    "|(?P<wide>[\uff01-\uff5e\ufe6b])"
    r"|(?P<at>%40|&#0{0,5}64;|&#x0{0,5}40;|&commat;)"
    r"|(?P<plus>(?:%2B|&#0{0,5}43;|&#x0{0,5}2B;|&plus;)(?=\d))"
    # A model's own way to write a number that is not to be broken between two lines.
    rf"|(?P<space>(?<=[\dA-Z)])(?:[{_SPACES}]|%20|&nbsp;)(?=[\dA-Z(]))"
    "|(?P<dash>(?<=[\\d)])[\u2010-\u2013\u2212](?=\\d))"
    r"|(?P<escape>\\(?:u[0-9a-f]{4}|[nrtbf]))"
    r"|(?P<digit>(?![0-9])\d))",
    re.IGNORECASE,
)
_SIGNS = {"at": "@", "plus": "+", "space": " ", "dash": "-"}


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
    if _MAY_BE.search(text) is None or _OTHERWISE.search(text) is None:
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
    kind = found.lastgroup or ""
    if kind in _SIGNS:
        return _SIGNS[kind]
    if kind == "escape":
        # A line feed or the like ends a number; half of a pair is no sign of anything looked for.
        digits = found[0][2:]
        code = int(digits, 16) if digits else 0
        sign = "\n" if code < 0x20 or 0xD800 <= code < 0xE000 else chr(code)
        again = _OTHERWISE.fullmatch(sign)
        return sign if again is None else _plain(again)
    if kind == "unseen":
        return ""
    if kind == "digit":
        return str(unicodedata.digit(found[0], 0))
    return "@" if found[0] == "\ufe6b" else chr(ord(found[0]) - 0xFEE0)
