"""Fingerprint: what stays the same of a message when its numbers, ids, paths and quotations do not.

Two lines of one problem have one fingerprint, and nothing that a person wrote, as far as it is quoted, is
in what is told of them.
"""

import hashlib
import re

LONGEST = 200
"""Characters of a name that are told."""
LOOKED_AT = 10 * LONGEST
"""Characters that are looked at once quotations are out: some rules take the square of a word's length."""
_APOSTROPHE = r"(?<![\w])'(?:[^'\n]|(?<=\w)'(?=\w))*'(?![\w])"
_WHOLE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^\s\"'<>]+"), "<url>"),
    (re.compile(rf"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»|{_APOSTROPHE}"), "<words>"),
)
"""Rules for all of a text: cut in two, a quotation would be told."""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), stands)
    for pattern, stands in (
        (r"\b[\w.-]+@v\d+(?:-[0-9a-f]+)?", "<version>"),
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<address>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>"),
        (r"\b[\w-]+(?:\.[\w-]+)*:\d{2,5}\b", "<address>"),
        (r"(?<![\w<])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[^\s\"'<>:,;()]+", "<path>"),
        (r"(?<![\w<])[\w.-]+(?:/[\w.-]+)+", "<path>"),
        (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b(?=[\w.-]*\d)(?=[\w.-]*[A-Za-z])(?=[\w.-]{6})[\w-]+(?:\.[\w-]+)*", "<id>"),
        (r"(?<![\w<])[-+]?\d[\d,.]*(?:e[-+]?\d+)?%?", "#"),
    )
)


def normal(text: str) -> str:
    """Return a message with what differs from time to time taken out.

    >>> normal("engine http://10.0.0.7:8000 is away after 3.2 s")
    'engine <url> is away after # s'
    >>> normal("/srv/a b.db: cannot open 'my holiday plans', req-4711ab, policy@v000017-3fa9c2e1")
    '<path> b.db: cannot open <words>, <id>, <version>'
    >>> normal("Expected `str`, got `int` - at `$.data.user_hash`")
    'Expected `str`, got `int` - at `$.data.user_hash`'
    """
    for pattern, stands in _WHOLE:
        text = pattern.sub(stands, text)
    text = text[:LOOKED_AT]
    for pattern, stands in _RULES:
        text = pattern.sub(stands, text)
    return " ".join(text.split())[:LONGEST]


def fingerprint(source: str, name: str) -> str:
    """Return what names a group for as long as it is known: 16 hex digits.

    >>> fingerprint("tool", "search fails as timeout")
    '29477249d36610ff'
    """
    return hashlib.sha256(f"{source}\0{name}".encode()).hexdigest()[:16]
