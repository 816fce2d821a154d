"""Rated: what the person said the answer was worth."""

from ..streams.events.episode import Episode
from ..streams.events.signals import Rated


def rated(episode: Episode) -> float | None:
    """Return the last rating, or None where there is none."""
    ratings = [one for one in episode.feedback if isinstance(one.feedback.signal, Rated)]
    if not ratings:
        return None
    last = max(ratings, key=lambda one: (one.acted_at, one.received_at)).feedback.signal
    assert isinstance(last, Rated)
    return last.value
