"""Accepted: did the person take the answer?"""

from ..streams.events.episode import Episode
from ..streams.events.signals import (
    Accepted,
    Edited,
    Interrupted,
    Regenerated,
    Rejected,
    Signal,
    Undone,
)

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
    decisions = [one for one in episode.feedback if isinstance(one.feedback.signal, DECISIONS)]
    if not decisions:
        return None
    last = max(decisions, key=lambda one: (one.acted_at, one.received_at))
    return float(isinstance(last.feedback.signal, Accepted))


def edited(episode: Episode) -> str | None:
    """Return what stood there after the last edit, or None where nothing was edited."""
    edits = [one for one in episode.feedback if isinstance(one.feedback.signal, Edited)]
    if not edits:
        return None
    last = max(edits, key=lambda one: (one.acted_at, one.received_at)).feedback.signal
    assert isinstance(last, Edited)
    return last.final_text
