"""Query: what a page is asked for in its address, checked; what is wrong is said with its name."""

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

LONGEST = 600
"""Bytes of one value at most: a name of `NAME_BYTES`, and beside it where a list goes on."""
MOST_NUMBER = 2.0**53
"""What a list is ordered by is a time or a row's number: beyond this no database has one."""


class AskedWrongly(ValueError):
    """A page was asked for with a value that says nothing; the message names it."""


class NotHere(Exception):
    """What a page was asked about is not known; the message names it."""


class ListPlace(NamedTuple):
    """Where a list goes on: behind the row with this number and this id."""

    number: float
    """What the list is ordered by first."""
    name: str
    """What it is ordered by next."""

    def __str__(self) -> str:
        """Write it as it stands in an address."""
        return f"{self.number!r}~{self.name}"


def known_values(query: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Return what was asked for by these names, without what is empty; raises AskedWrongly else.

    >>> known_values({"fate": "trained", "batch": ""}, ("fate", "batch"))
    {'fate': 'trained'}
    """
    for name, value in query.items():
        if name not in names:
            raise AskedWrongly(
                f"{name[:40]}: no list is asked for by that; known: {', '.join(names)}"
            )
        if not _may_be_known(value):
            raise AskedWrongly(f"{name}: too long, or holds a NUL character")
    return {name: value for name, value in query.items() if value}


def known_name(text: str) -> str:
    """Return a name that may be known; raises NotHere for what no answer or version is called."""
    if not _may_be_known(text):
        raise NotHere(f"{text[:40]!r}: nothing is called so.")
    return text


def _may_be_known(text: str) -> bool:
    """Return whether a database may hold it: products choose ids, and may put any letter into one."""
    return "\0" not in text and len(text.encode("utf-8", "replace")) <= LONGEST


def whole_number(name: str, text: str) -> int:
    """Return a number that names something; raises AskedWrongly naming it.

    >>> whole_number("batch", "7")
    7
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise AskedWrongly(f"{name}: {text[:40]!r} is not a number")
    return int(text)


def place_of(text: str) -> ListPlace | None:
    """Return where a list goes on; None for its beginning. Raises AskedWrongly for what is no place.

    >>> place_of("12.5~s.g1"), place_of("")
    (ListPlace(number=12.5, name='s.g1'), None)
    """
    if not text:
        return None
    number, tilde, name = text.partition("~")
    try:
        at = float(number)
    except ValueError:
        at = math.nan
    if not tilde or not abs(at) <= MOST_NUMBER:
        raise AskedWrongly(f"after: {text[:40]!r} is not where a list goes on")
    return ListPlace(at, name)
