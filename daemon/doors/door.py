"""Door: one API that is mapped onto the chat door, both ways."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .door_stream import DoorStream
from .reply import Reply

_READ = (
    *("messages", "tools", "chat_template_kwargs", "continue_final_message"),
    "add_generation_prompt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a request asks, as the chat door is asked it."""

    body: dict[str, Any]
    """A body of chat completions, from the same person in the same session."""
    ignored: tuple[str, ...]
    """Fields that only asked for comfort and were not mapped."""

    def what_is_read(self) -> dict[str, Any]:
        """Return what of the body becomes tokens that are read, as `/tokenize` takes it."""
        return {name: self.body[name] for name in _READ if name in self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An API by its translations; all of them are pure."""

    path: str
    """Where it is asked."""
    request: Callable[[Mapping[str, Any]], ChatRequest]
    """Turn its request into chat's. Raises ValueError with the field's path for what cannot be mapped."""
    answer: Callable[[Mapping[str, Any], Reply], dict[str, Any]]
    """Turn a whole chat answer into its own. Raises ValueError where there is none in it."""
    stream: Callable[[Reply], DoorStream]
    """Begin to turn a chat stream into its events."""
    id_header: str = ""
    """Header in which its clients look for the id, besides ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedThrough:
    """One request by the door that it came through."""

    door: Door
    """The door."""
    asked: Mapping[str, Any]
    """The request as it came."""
