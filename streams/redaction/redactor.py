"""Redactor: a text without what must not be kept, each place named by what stood there."""

import functools
import hashlib
from collections.abc import Collection
from typing import NamedTuple

from .credentials import credential_spans
from .folded import fold
from .personal import Span, personal_spans

REMEMBERED = 8192
"""Most texts whose outcome a process remembers: a conversation sends its earlier messages again."""


class Redacted(NamedTuple):
    """A text as it may be kept."""

    text: str
    """With `[mail]` and the like in place of what was found."""
    kinds: frozenset[str]
    """What was found; empty where the text is as it was."""


def redact(text: str, exempt: Collection[str] = ()) -> Redacted:
    """Replace what identifies a person by its form, and what opens a door.

    `exempt` are the product's own addresses and numbers, in lower case: as a whole, or `@` and a
    domain for all mail addresses there.

    >>> redact("ask anna@example.com, or call +1 212 555 0187").text
    'ask [mail], or call [phone]'
    >>> redact("Help@acme.com, bob@acme.com, eve@other.org", {"help@acme.com"}).text
    'Help@acme.com, [mail], [mail]'
    >>> redact("Help@acme.com, bob@acme.com, eve@other.org", {"@acme.com"}).text
    'Help@acme.com, bob@acme.com, [mail]'
    """
    if len(text) < SHORTEST:
        return Redacted(text, frozenset())
    found = {*credential_spans(text), *personal_spans(text)}
    if (plain := fold(text)) is not None:
        found |= {
            Span(*plain.written(one.start, one.end), one.kind)
            for one in (*credential_spans(plain.text), *personal_spans(plain.text))
        }
    spans = sorted(found, key=lambda one: (one.start, -one.end))
    if exempt:
        spans = [one for one in spans if not _is_exempt(text[one.start : one.end], exempt)]
    if not spans:
        return Redacted(text, frozenset())
    parts, place, apart = list[str](), 0, _apart(spans)
    for span in apart:
        parts += [text[place : span.start], f"[{span.kind}]"]
        place = span.end
    return Redacted("".join([*parts, text[place:]]), frozenset(one.kind for one in apart))


SHORTEST = 6
"""Fewest characters of anything that is looked for: a mail address."""


def _is_exempt(found: str, exempt: Collection[str]) -> bool:
    plain = fold(found)
    name, at, domain = (found if plain is None else plain.text).lower().rpartition("@")
    return name + at + domain in exempt or (bool(at) and at + domain in exempt)


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
        self._kinds = functools.lru_cache(REMEMBERED)(lambda digest, exempt: _Slot())

    def kinds(self, text: str, exempt: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return what `redact` finds in a text; a text seen lately costs its digest."""
        digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
        slot = self._kinds(digest, exempt)
        if slot.kinds is None:
            slot.kinds = redact(text, exempt).kinds
        return slot.kinds

    def redact(self, text: str, exempt: frozenset[str] = frozenset()) -> Redacted:
        """Return what `redact` does; a text seen lately in which nothing was found costs its digest."""
        if len(text) < SHORTEST or not self.kinds(text, exempt):
            return Redacted(text, frozenset())
        return redact(text, exempt)


class _Slot:
    kinds: frozenset[str] | None = None
