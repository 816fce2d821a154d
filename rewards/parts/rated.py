"""Rated: what the person said the answer was worth."""

from ...streams.events.episode import Episode
from ...streams.events.signals import Rated
from .last_signal import last_signal


def rated(episode: Episode) -> float | None:
    """Return the last rating, or None where there is none."""
    last = last_signal(episode, Rated)
    return None if last is None else last.value
