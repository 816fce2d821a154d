"""Shown JSON: a document as a command prints it."""

import re
from typing import Any

import orjson

_OBEYED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal may obey, or turns the direction of writing, and orjson writes as it is."""


def shown_json(document: Any) -> str:
    r"""Return a document as indented JSON of which a terminal obeys nothing, and in which nothing is lost.

    >>> print(shown_json({"said": "a\x9b2J\u202eb"}))
    {
      "said": "a\u009b2J\u202eb"
    }
    """
    return escaped(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def escaped(text: str) -> str:
    """Return a JSON text with escapes for what people and models wrote to move an operator's cursor.

    JSON itself wants them below U+0020 alone.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
