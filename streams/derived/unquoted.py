"""Unquoted: what an error says of itself, without the data that it quotes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST_VALUES = 200
"""Values of one object that are read."""

_QUOTES = re.compile(
    # A key of an object is no quotation, nor is what stands under it: an error inside an error.
    r"""(?P<kept>(?P<q>["'])\w{1,40}(?P=q)\s{0,3}:\s{0,3}(?:"(?:[^"\\\n]|\\.){0,400}"|'(?:[^'\\\n]|\\.){0,400}')?)"""
    r"""|"(?:[^"\\\n]|\\.){3,400}"|(?<!\w)'(?:[^'\\\n]|\\.){3,400}'(?!\w)|`[^`\n]{3,400}`"""
    r"""|“[^”\n]{3,400}”|„[^“”\n]{3,400}[“”]|«[^»\n]{3,400}»|「[^」\n]{3,400}」|『[^』\n]{3,400}』"""
)


def unquoted(text: str) -> str:
    """Return a text with what it quotes left out; a sign or two, such as a delimiter, stay.

    >>> unquoted("ValueError: invalid literal for int(): 'timeout'")
    "ValueError: invalid literal for int(): ''"
    >>> unquoted('failed with {"code": "ENOENT"}, expecting \\',\\' there; I don\\'t know')
    'failed with {"code": "ENOENT"}, expecting \\',\\' there; I don\\'t know'
    """
    return _QUOTES.sub(lambda found: found["kept"] or "''", text)


def lines_of(told: Mapping[str, Any]) -> str:
    """Return an object as lines of `key: value`: its quotes are its form, and no quotations.

    >>> lines_of({"error": {"status": 503, "message": "It is 'down'."}})
    "status: 503\\nmessage: It is 'down'."
    """
    return "\n".join(line for line, _ in zip(_lines(told), range(MOST_VALUES), strict=False))


def _lines(told: Any) -> Iterator[str]:
    ahead = [("", told)]
    while ahead:
        key, value = ahead.pop()
        if isinstance(value, Mapping):
            ahead += reversed(list(value.items()))
        elif isinstance(value, list):
            ahead += [(key, one) for one in reversed(value)]
        elif value is not None and not isinstance(value, bool):
            yield f"{key}: {value}"
