"""Trace formats: recorded rows of other products, and our own events, for `rlwd replay --format`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ..events.event import Event
from ..extensions import extension_names, load_extension, refuse_collisions
from ..traces.recorded import MalformedRow, OnError, raw_lines
from .atif import read_atif
from .chat import read_chat
from .claude_code import read_claude_code
from .copilot import read_copilot
from .helicone import read_helicone
from .kto import read_kto
from .langfuse import read_langfuse
from .langsmith import read_langsmith
from .openai_chat import read_openai_chat
from .openai_ft import read_openai_ft
from .otel_genai import read_otel_genai
from .pi import read_pi
from .sharegpt import read_sharegpt

__all__ = ["MalformedRow", "OnError", "read_chat", "read_copilot", "read_events", "trace_format"]

ENTRY_POINTS = "rlwd.trace_formats"
"""Group of the entry points by which installed distributions add formats (experimental)."""
EVENTS = "events"
"""Our own events, as a topic holds them; `read_events` reads these undecoded."""


class TraceFormat(Protocol):
    """Reads one recorded file."""

    def __call__(self, path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
        """Yield the events of a file in the order of receipt.

        A row that cannot be read is raised as MalformedRow, or given to `on_error` and left out.
        """
        ...


BUILT_IN: dict[str, TraceFormat] = {
    "atif": read_atif,
    "chat": read_chat,
    "claude-code": read_claude_code,
    "copilot": read_copilot,
    "helicone": read_helicone,
    "kto": read_kto,
    "langfuse": read_langfuse,
    "langsmith": read_langsmith,
    "openai-chat": read_openai_chat,
    "openai-ft": read_openai_ft,
    "otel-genai": read_otel_genai,
    "pi": read_pi,
    "sharegpt": read_sharegpt,
}


def trace_format(name: str) -> TraceFormat:
    """Return the reader of a format, built in or installed.

    Raises ValueError, naming what is known, where there is no such format; and naming the
    distribution where an installed one has a built-in name or cannot be loaded.
    """
    refuse_collisions(ENTRY_POINTS, (*BUILT_IN, EVENTS))
    if name in BUILT_IN:
        return BUILT_IN[name]
    installed = load_extension(ENTRY_POINTS, name, "--format")
    if installed is None:
        known = ", ".join([*BUILT_IN, EVENTS, *extension_names(ENTRY_POINTS)])
        raise ValueError(f"--format {name}: no such format; known: {known}")
    reader: TraceFormat = installed.function
    return reader


def read_events(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line of a file of our own events, undecoded.

    A malformed line is yielded too, so that it becomes a dead letter with its reason, as it would
    from a topic. Blank lines are left out.
    """
    return raw_lines(path)
