"""Followed up: the person's next message, about the answer before it."""

from ..events.generation import Generation
from ..events.signals import FollowedUp

KEPT_CHARACTERS = 10_000
"""Most text of one signal; the whole message is in the record."""


def followed_up(following: Generation) -> FollowedUp | None:
    """Return what the person wrote back, as the next request of the session has it; None for nothing.

    Several messages in a row are one.
    """
    said = [one.text for one in following.input if one.role == "user" and one.text.strip()]
    return FollowedUp(text="\n\n".join(said)[:KEPT_CHARACTERS]) if said else None
