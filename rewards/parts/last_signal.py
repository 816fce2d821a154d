"""Last signal: what a person did last, of some kinds, by when they acted."""

from collections.abc import Iterator
from typing import Any, TypeVar, cast

from ...streams.events.episode import Episode, Timed

Kind = TypeVar("Kind")


def last_signal(episode: Episode, kinds: type[Kind] | tuple[type[Kind], ...]) -> Kind | None:
    """Return the signal of these kinds that was done last, or None where there is none."""
    feedback = episode.feedback
    if len(feedback) == 1:
        signal: Any = feedback[0].feedback.signal
        return signal if isinstance(signal, kinds) else None
    last: Timed | None = None
    for timed in feedback:
        if isinstance(timed.feedback.signal, kinds) and (
            last is None or _order(timed) > _order(last)
        ):
            last = timed
    return None if last is None else cast("Kind", last.feedback.signal)


def signals_in_order(episode: Episode, kind: type[Kind]) -> Iterator[Kind]:
    """Yield the signals of a kind, earliest act first; of one moment, earliest receipt first."""
    for timed in sorted(episode.feedback, key=_order):
        signal: Any = timed.feedback.signal
        if isinstance(signal, kind):
            yield signal


def _order(timed: Timed) -> tuple[float, float, str]:
    # The id, so that of two acts of one moment the same one counts in whatever order they came.
    return timed.acted_at, timed.received_at, timed.feedback.feedback_id
