"""Reply: what an answer tells of itself besides what the model wrote."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...streams.events.usage import Usage
from .chat_blocks import Block, whole_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The frame of one answer."""

    generation_id: str
    """Its id, which feedback names."""
    model: str
    """The public model name."""
    created: float
    """Epoch seconds of its request."""
    asked: Mapping[str, Any]
    """The request as it came."""
    usage: Callable[[], Usage]
    """Tokens as far as they are known: read ones from the first chunk on, all of them at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """A whole chat answer, read."""

    blocks: list[Block]
    """What the model wrote."""
    finish: str
    """How it ended."""
    stop: str | None
    """The text at which it was stopped, where the engine tells it."""


def read_chat_answer(chat: Mapping[str, Any]) -> ChatAnswer:
    """Read a whole chat answer. Raises ValueError where it holds none."""
    choices = chat.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise ValueError("the engine's answer has no message")
    finish, stop = choice.get("finish_reason"), choice.get("stop_reason")
    return ChatAnswer(
        blocks=whole_blocks(message),
        finish=finish if isinstance(finish, str) else "",
        stop=stop if isinstance(stop, str) else None,
    )
