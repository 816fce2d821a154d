"""Outcome: what came of it outside of the product."""

from ...streams.events.episode import Episode
from ...streams.events.signals import Outcome
from .last_signal import signals_in_order


def outcome(episode: Episode, name: str | None = None) -> float | None:
    """Return the last value of one outcome, or the mean over all outcomes, each by its last value.

    None where nothing was measured. The amount, in whatever unit, is for people and never counts.
    """
    last = {one.name: one.value for one in signals_in_order(episode, Outcome)}
    if name is not None:
        return last.get(name)
    return sum(last.values()) / len(last) if last else None
