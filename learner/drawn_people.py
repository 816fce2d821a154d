"""Drawn people: which users a batch holds out whole, so that their preferences are the gate's evidence."""

from collections.abc import Collection
from hashlib import blake2b

LEAST_PEOPLE = 8
"""Users without whom preference evidence is none (`gate.min_effective`)."""


def drawn_people(users: Collection[str], share: float, batch_id: int) -> list[str]:
    """Return the users of whom nothing is trained on in a batch."""
    count = round(share * len(users))
    return in_turn(users, batch_id)[:count] if count >= LEAST_PEOPLE else []


def in_turn(users: Collection[str], batch_id: int) -> list[str]:
    """Return users in the order in which a batch draws and numbers them."""
    return sorted(users, key=lambda user: (drawn_number(f"{batch_id}/{user}"), user))


def drawn_number(name: str) -> int:
    """Return 32 bits of a name's hash, so that sealing again after a lost transaction decides the same."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")
