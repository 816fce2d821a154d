"""Habits: what an answer did that is to be paid for, as its behaviours say.

Each is a cost, at least 0 and in its behaviour's own unit, and None where the record does not hold
the answer. A spec's scale and clip say how much of it takes off how much.
"""

from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ..behaviours.comments import reasoning_in_comments
from ..behaviours.repetition import repetition
from ..behaviours.todos import unfinished_todos
from ..behaviours.tool_mix import invalid_calls, one_tool

Share = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]


def todos_left(episode: Episode) -> float | None:
    """Return how many to-dos the answer leaves undone."""
    count = unfinished_todos(episode.generation)
    return None if count is None else float(count)


def thinking_in_comments(episode: Episode, allowed: Share = 0.05) -> float | None:
    """Return the share of the words of the answer's code that think aloud, beyond what is allowed."""
    return _beyond(reasoning_in_comments(episode.generation), allowed)


def tool_collapse(episode: Episode, allowed: Share = 0.8) -> float | None:
    """Return how far the answer's calls are of one tool only: 0 up to the share allowed, 1 is all.

    None with fewer than four calls, or where only one tool was offered.
    """
    return _beyond(one_tool(episode.generation), allowed)


def repeated(episode: Episode, allowed: Share = 0.2) -> float | None:
    """Return how far the answer repeats itself: 0 up to the share allowed, 1 is nothing new."""
    return _beyond(repetition(episode.generation), allowed)


def broken_calls(episode: Episode) -> float | None:
    """Return the share of the answer's calls that no tool could run as they were written."""
    return invalid_calls(episode.generation)


def _beyond(share: float | None, allowed: float) -> float | None:
    return None if share is None else max(0.0, share - allowed) / (1.0 - allowed)
