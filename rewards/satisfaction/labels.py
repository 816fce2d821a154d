"""Labels: explicit decisions on an answer, which a reader of the message beside them learns from."""

import msgspec

from ...streams.events.episode import Episode
from ..parts.accepted import accepted
from ..parts.rated import rated
from ..parts.resolved import resolved
from .message import NextMessage

DECISIONS = (
    *("accepted", "rejected", "undone", "interrupted", "regenerated"),
    *("rated", "resolved", "escalated"),
)
"""Kinds of signal that may make a label."""
BETWEEN = (0.4, 0.6)
"""Ratings between these say neither."""


class Labelled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message beside what was decided."""

    message: NextMessage
    """What is read."""
    satisfied: bool
    """What the person's decision says."""
    person: str
    """Who it was: nobody's messages are both learned from and held out."""
    at: float = 0.0
    """When the answer was received, epoch seconds."""


def label_of(episode: Episode) -> bool | None:
    """Return whether the answer was taken, by the first of these that decided; None for none of them.

    An acceptance or what turns it down, a rating that is clear, a case that was settled or went on.
    """
    for value in (accepted(episode), rated(episode), resolved(episode)):
        if value is not None and not BETWEEN[0] < value < BETWEEN[1]:
            return value > 0.5
    return None
