"""Accepted: did the person take the answer?"""

from ...streams.events.episode import Episode
from ...streams.events.signals import (
    Accepted,
    Interrupted,
    Regenerated,
    Rejected,
    Signal,
    Undone,
)
from .last_signal import last_signal

DECISIONS: tuple[type[Signal], ...] = (Accepted, Rejected, Undone, Interrupted, Regenerated)
"""Kinds of which the last one decides."""


def accepted(episode: Episode) -> float | None:
    """Return 1 where the last decision took the answer as it was, 0 where it was turned down.

    The last of accepted, rejected, undone, interrupted and regenerated decides, by when the person
    acted. All but the first turn it down: an acceptance that was undone is a rejection, and so is
    asking for another answer, or stopping this one, with nothing accepted afterwards. None where
    there was no decision, or where the person edited the answer and said nothing else: what an edit
    is worth is `edit_similarity`'s to say.
    """
    last = last_signal(episode, DECISIONS)
    return None if last is None else float(isinstance(last, Accepted))
