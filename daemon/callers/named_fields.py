"""NamedFields: one named field after another, from the header, else from the body's `metadata`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...streams.events.generation import MOST_REFERENCES

PRINTABLE = re.compile(r"[\x21-\x7e]{1,200}")
ID = re.compile(r"[\x21-\x7e]{1,512}")
LINE = re.compile(r"[\x20-\x7e]{1,200}")
REFERENCE_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
USER_CHARACTERS = 1000
MOST_REFERENCE = 200
"""Most characters of a reference."""


class NamedFields:
    """Reads the fields of one request; `left_out` gathers those of the body that were not usable."""

    def __init__(self, headers: Mapping[str, str], metadata: Any) -> None:
        self.headers = headers
        self.metadata = metadata if isinstance(metadata, Mapping) else {}
        self.left_out = [] if metadata is None or self.metadata is metadata else ["metadata"]

    def read(self, name: str, pattern: re.Pattern[str], *, spaces: str = "") -> str | None:
        """Return the field, or None. Raises ValueError where a header is not usable."""
        header = f"X-Rlwd-{name.title().replace('_', '-')}"
        value = self.headers.get(header)
        if value:
            if not pattern.fullmatch(value):
                raise ValueError(f"{header}: must be 1 to 200 printable ASCII{spaces}")
            return value
        value = self.metadata.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str | bool | int) and pattern.fullmatch(str(value)):
            return str(value)
        self.left_out.append(name)
        return None

    def plain(self, name: str) -> str | None:
        """Return a field that becomes a key or a column."""
        return self.read(name, PRINTABLE, spaces=" characters without spaces")

    def references(self, keys: Sequence[str]) -> dict[str, str]:
        """Return what of the product's the request is about: these keys of `metadata`, as text."""
        found = dict[str, str]()
        for key in keys:
            value = self.metadata.get(key)
            if value is None or value == "":
                continue
            if isinstance(value, str | int) and not isinstance(value, bool):
                text = str(value)
                if len(text) <= MOST_REFERENCE and "\0" not in text and encodable(text):
                    found[key] = text
                    continue
            self.left_out.append(key)
        return found

    def user(self, body: Mapping[str, Any]) -> str | None:
        """Return the user as the product names them; `safety_identifier` follows on `user`."""
        named: list[tuple[str, Any]] = [
            ("user", self.headers.get("X-Rlwd-User")),
            ("user", self.metadata.get("user")),
            ("safety_identifier", body.get("safety_identifier")),
            ("user", body.get("user")),
        ]
        for place, (name, value) in enumerate(named):
            if value is None or value == "":
                continue
            text = str(value) if isinstance(value, str | int) else ""
            if 0 < len(text) <= USER_CHARACTERS and encodable(text):
                return text
            if place == 0:
                raise ValueError(
                    f"X-Rlwd-User: must be UTF-8, at most {USER_CHARACTERS} characters"
                )
            self.left_out.append(name)
        return None


def check_references(path: str, keys: Sequence[str]) -> None:
    """Refuse keys that no record takes, or more of them. Raises ValueError with the config's path."""
    if len(keys) > MOST_REFERENCES:
        raise ValueError(f"{path}: {len(keys)} keys, more than {MOST_REFERENCES}")
    for key in keys:
        if not REFERENCE_KEY.fullmatch(key):
            raise ValueError(f"{path}: {key!r}: 1 to 64 letters, digits, dots, dashes, underscores")


def encodable(text: str) -> bool:
    """Return whether UTF-8 can hold a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
