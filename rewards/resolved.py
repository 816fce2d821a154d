"""Resolved: was the matter settled?"""

from ..streams.events.episode import Episode
from ..streams.events.signals import Escalated, Resolved


def resolved(episode: Episode) -> float | None:
    """Return 1 where the matter was settled, 0 where it went to somebody else, None where neither.

    The last of the two counts, by when it happened: what was settled can come back.
    """
    ends = [
        one for one in episode.feedback if isinstance(one.feedback.signal, Resolved | Escalated)
    ]
    if not ends:
        return None
    last = max(ends, key=lambda one: (one.acted_at, one.received_at))
    return float(isinstance(last.feedback.signal, Resolved))
