"""Kept: how much of the answer still stood after a while."""

from ...streams.events.episode import Episode
from ...streams.events.signals import Kept


def kept(episode: Episode, horizon_seconds: float | None = None) -> float | None:
    """Return the fraction kept at a horizon, or at the longest one measured.

    None where it was not measured. Measured twice at one horizon, the later measurement counts.
    """
    at = {
        one.feedback.signal.horizon_seconds: one.feedback.signal.fraction
        for one in episode.feedback
        if isinstance(one.feedback.signal, Kept)
    }
    if not at:
        return None
    return at.get(max(at) if horizon_seconds is None else horizon_seconds)
