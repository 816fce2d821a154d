"""Tool use: which tools an answer was offered, and which it called, as it wrote the calls."""

import hashlib
from typing import Annotated

import msgspec
import orjson

MOST_TOOLS = 1024
"""Most offered tools that one record names."""
Name = Annotated[str, msgspec.Meta(max_length=512)]


class OfferedTool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tool that the request offered."""

    name: Name
    """By which the model calls it."""
    digest: Annotated[str, msgspec.Meta(max_length=64)]
    """First 16 hex digits of the SHA-256 of what was offered, as JSON with sorted keys."""


def tool_digest(tool: object) -> str:
    """Return the digest of a tool as it was offered."""
    try:
        written = orjson.dumps(tool, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Half a surrogate pair, or a number beyond 64 bits.
        written = repr(tool).encode(errors="replace")
    return hashlib.sha256(written).hexdigest()[:16]


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A call of a tool in an answer.

    >>> ToolCall(id="call-1", name="add", arguments='{"a": 1', parses=False, fits=False).invalid
    True
    """

    id: Name
    """By which its result comes back; empty where the engine gave none."""
    name: Name
    """Name of the tool, as the model wrote it."""
    arguments: str
    """The arguments as the model wrote them."""
    parses: bool
    """Whether they are JSON."""
    fits: bool | None
    """Whether a tool of this name was offered and its JSON Schema takes them; None where nobody can
    say: the tool has no schema, or one that is broken or too costly to check."""

    @property
    def invalid(self) -> bool:
        """True where no tool could run it as it was written."""
        return not self.parses or self.fits is False
