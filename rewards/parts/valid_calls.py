"""Valid calls: a call of a tool that no tool could run is a fault, whatever else is known."""

from ...streams.events.episode import Episode
from ...streams.events.signals import ToolResult


def valid_calls(episode: Episode) -> float | None:
    """Return 0 where a call of the answer was invalid, or None.

    Never 1: that its calls can be run is no merit, and a value above 0 would lift an answer that was
    turned down. So a broken call only ever lowers a reward, and gives an answer one that nobody
    decided on: it is never dropped.
    """
    broken = any(
        isinstance(one.feedback.signal, ToolResult)
        and one.feedback.signal.error_class == "invalid_arguments"
        for one in episode.feedback
    )
    return 0.0 if broken else None
