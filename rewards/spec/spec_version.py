"""Spec version: the name and content hash by which every reward says which numbers made it."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .term import PartTable, Term


class FirstKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of the first version of the format, in its order: they are always part of the hash."""

    name: str
    """As in the spec."""
    parts: dict[str, float | PartTable]
    """Likewise; a table of a weight alone is its weight."""
    decisive: tuple[str, ...]
    """Likewise."""
    ready: dict[str, float]
    """Likewise."""
    decision: dict[str, float]
    """Likewise."""
    horizons: dict[str, float]
    """Likewise."""


def spec_version(
    first: FirstKeys, later: Mapping[str, Any], parts: Iterable[Term], costs: Iterable[Term]
) -> str:
    """Return `name@` and the first 12 hex digits of the SHA-256 of a spec's content.

    `later` are the keys from after the first version that the spec gives: without any, the hash is what
    the first version made of it. The code of an installed function is known by its distribution's
    version alone.
    """
    plain = {name: _plain(part) for name, part in first.parts.items()}
    content = _encode(msgspec.structs.replace(first, parts=plain))
    if later:
        content += b"\0" + _encode(later)
    for prefix, terms in (("", parts), ("costs.", costs)):
        for name, distribution in sorted((term.name, term.distribution) for term in terms):
            if distribution:
                content += f"\0{prefix}{name}\0{distribution}".encode()
    return f"{first.name}@{hashlib.sha256(content).hexdigest()[:12]}"


def _plain(part: float | PartTable) -> float | PartTable:
    if isinstance(part, PartTable) and part == PartTable(weight=part.weight):
        return part.weight
    return part


def _encode(content: Any) -> bytes:
    return msgspec.json.encode(content, order="deterministic")
