"""Kept: how much of the answer still stood after a while."""

from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.signals import Kept
from .last_signal import signals_in_order

Horizon = Annotated[float, msgspec.Meta(ge=0.0)]


def kept(episode: Episode, horizon_seconds: Horizon | None = None) -> float | None:
    """Return the fraction kept at a horizon, or at the longest one measured.

    None where it was not measured. Measured twice at one horizon, the later measurement counts.
    """
    at = {one.horizon_seconds: one.fraction for one in signals_in_order(episode, Kept)}
    if not at:
        return None
    return at.get(max(at) if horizon_seconds is None else horizon_seconds)
