"""Resolved: was the matter settled?"""

from ...streams.events.episode import Episode
from ...streams.events.signals import Escalated, Resolved
from .last_signal import last_signal


def resolved(episode: Episode) -> float | None:
    """Return 1 where the matter was settled, 0 where it went to somebody else, None where neither.

    The last of the two counts, by when it happened: what was settled can come back.
    """
    last = last_signal(episode, (Resolved, Escalated))
    return None if last is None else float(isinstance(last, Resolved))
