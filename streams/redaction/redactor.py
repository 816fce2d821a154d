"""Redactor: a text without what must not be kept, each place named by what stood there."""

import functools
import hashlib
from typing import NamedTuple

from .credentials import credential_spans
from .personal import Span, personal_spans

REMEMBERED = 8192
"""Most texts whose outcome a process remembers: a conversation sends its earlier messages again."""


class Redacted(NamedTuple):
    """A text as it may be kept."""

    text: str
    """With `[mail]` and the like in place of what was found."""
    kinds: frozenset[str]
    """What was found; empty where the text is as it was."""


def redact(text: str) -> Redacted:
    """Replace what identifies a person by its form, and what opens a door.

    >>> redact("ask anna@example.com, or call +1 212 555 0187").text
    'ask [mail], or call [phone]'
    """
    if len(text) < SHORTEST:
        return Redacted(text, frozenset())
    spans = sorted(
        {*credential_spans(text), *personal_spans(text)}, key=lambda one: (one.start, -one.end)
    )
    if not spans:
        return Redacted(text, frozenset())
    parts, place, apart = list[str](), 0, _apart(spans)
    for span in apart:
        parts += [text[place : span.start], f"[{span.kind}]"]
        place = span.end
    return Redacted("".join([*parts, text[place:]]), frozenset(one.kind for one in apart))


SHORTEST = 6
"""Fewest characters of anything that is looked for: a mail address."""


def _apart(spans: list[Span]) -> list[Span]:
    """Return places that do not overlap; of two that do, their union by the first one's name."""
    found: list[Span] = []
    for span in spans:
        if found and span.start < found[-1].end:
            found[-1] = found[-1]._replace(end=max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


class TextMemory:
    """Remembers of which texts nothing had to be replaced; the texts themselves are not held."""

    def __init__(self) -> None:
        self._kinds = functools.lru_cache(REMEMBERED)(lambda digest: _Slot())

    def kinds(self, text: str) -> frozenset[str]:
        """Return what `redact` finds in a text; a text seen lately costs its digest."""
        digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
        slot = self._kinds(digest)
        if slot.kinds is None:
            slot.kinds = redact(text).kinds
        return slot.kinds


class _Slot:
    kinds: frozenset[str] | None = None
