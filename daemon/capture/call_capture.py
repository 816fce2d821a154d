"""CallCapture: the calls of tools in an answer, put together from the pieces of a stream."""

from dataclasses import dataclass, field
from typing import Any

from ...streams.events.tool_use import ToolCall
from ..http.answers import printable
from .names import as_name
from .tool_schemas import ToolSchemas

KEPT_CALLS = 256
"""Most calls that one record holds; all are counted."""


@dataclass(slots=True, kw_only=True)
class _Pieces:
    """One call as far as it came."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class CallCapture:
    """Gathers the calls; a stream tells each in pieces that bear its index."""

    def __init__(self) -> None:
        self._calls: dict[int | str, _Pieces] = {}

    def take(self, said: dict[str, Any]) -> None:
        """Take in what one message, or one piece of it, says of calls."""
        calls = said.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            told = call if isinstance(call, dict) else {}
            index = told.get("index")
            self._add(index if type(index) is int else place, told.get("id"), told.get("function"))
        if said.get("function_call"):
            self._add("function_call", None, said["function_call"])

    def _add(self, key: int | str, call_id: Any, function: Any) -> None:
        call = self._calls.setdefault(key, _Pieces())
        if isinstance(call_id, str) and not call.id:
            call.id = as_name(call_id)
        told = function if isinstance(function, dict) else {}
        if isinstance(told.get("name"), str) and not call.name:
            call.name = as_name(told["name"])
        if isinstance(told.get("arguments"), str):
            call.arguments.append(told["arguments"])

    def __len__(self) -> int:
        """Calls so far."""
        return len(self._calls)

    def checked(self, tools: ToolSchemas) -> tuple[ToolCall, ...]:
        """Return the calls, in the order in which they came."""
        kept = list(self._calls.values())[:KEPT_CALLS]
        return tuple(
            [tools.check(one.id, one.name, printable("".join(one.arguments))) for one in kept]
        )
