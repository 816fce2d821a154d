"""Turned down: each way of turning an answer down on its own, for specs that price them apart."""

from ...streams.events.episode import Episode
from ...streams.events.signals import Accepted, Interrupted, Regenerated, Signal, Undone
from .accepted import DECISIONS
from .last_signal import last_signal


def undone(episode: Episode) -> float | None:
    """Return 0 where what was accepted was taken back, 1 where the acceptance still stands.

    The last of the two decides, by when the person acted. None where neither happened: what was
    never accepted cannot be taken back.
    """
    last = last_signal(episode, (Accepted, Undone))
    return None if last is None else float(isinstance(last, Accepted))


def interrupted(episode: Episode) -> float | None:
    """Return 0 where the person stopped the answer, 1 where they decided on it without doing so.

    An answer that was stopped stays so, whatever was decided on what there was of it. None where
    nobody decided anything.
    """
    return _spared(episode, Interrupted)


def regenerated(episode: Episode) -> float | None:
    """Return 0 where the person asked for another answer, 1 where they decided without doing so.

    It stays 0 where they came back to this one: they had it compared. None where nobody decided.
    """
    return _spared(episode, Regenerated)


def _spared(episode: Episode, kind: type[Signal]) -> float | None:
    decided = None
    for one in episode.feedback:
        if isinstance(one.feedback.signal, kind):
            return 0.0
        if isinstance(one.feedback.signal, DECISIONS):
            decided = 1.0
    return decided
