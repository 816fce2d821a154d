"""Traces: recorded rows of other products, and our own events, for `rlwd replay`."""

from collections.abc import Iterator
from pathlib import Path

from .chat import read_chat
from .copilot import read_copilot
from .recorded import MalformedRow, raw_lines

__all__ = ["MalformedRow", "read_chat", "read_copilot", "read_events"]


def read_events(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file of our own events, undecoded.

    What is malformed passes too, so that it reaches the dead letter with its reason, as it would
    from a topic. Blank lines are left out.
    """
    for _, raw in raw_lines(path):
        yield raw
