"""Outcome: what came of it outside of the product."""

from ..streams.events.episode import Episode
from ..streams.events.signals import Outcome


def outcome(episode: Episode, name: str | None = None) -> float | None:
    """Return the last value of one outcome, or the mean over all outcomes, each by its last value.

    None where nothing was measured. The amount, in whatever unit, is for people and never counts.
    """
    measured = sorted(
        (one for one in episode.feedback if isinstance(one.feedback.signal, Outcome)),
        key=lambda one: (one.acted_at, one.received_at),
    )
    last: dict[str, float] = {}
    for one in measured:
        assert isinstance(one.feedback.signal, Outcome)
        last[one.feedback.signal.name] = one.feedback.signal.value
    if name is not None:
        return last.get(name)
    return sum(last.values()) / len(last) if last else None
