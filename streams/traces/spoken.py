"""Spoken: what was said before an answer, as far as its record needs it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..events.input_message import (
    KEPT_CHARACTERS,
    KEPT_MESSAGES,
    InputMessage,
    answer_digest,
)
from .messages import Message


@dataclass(slots=True)
class Spoken:
    """A conversation up to a place; adding to it costs the same however long it is."""

    since: list[Message] = field(default_factory=list)
    """What was said since the last answer."""
    answers: int = 0
    """Answers before."""
    last: str = ""
    """What the last of them said."""

    @classmethod
    def of(cls, messages: Iterable[Message]) -> "Spoken":
        """Return what these messages are."""
        found = cls()
        for message in messages:
            found.add(message)
        return found

    def add(self, message: Message) -> None:
        """Go on by one message."""
        if message.role == "assistant":
            self.since, self.last = [], message.text
            self.answers += 1
        else:
            self.since.append(message)

    @property
    def last_digest(self) -> str:
        """Digest of the last answer; empty where there is none."""
        return answer_digest(self.last)

    def input(self) -> tuple[InputMessage, ...]:
        """Return what was said since, within what a record holds; the last message has its room first."""
        found: list[InputMessage] = []
        left = KEPT_CHARACTERS
        for message in reversed(self.since[-KEPT_MESSAGES:]):
            found.append(
                InputMessage(
                    role=message.role,
                    text=message.text[:left],
                    tool_call_id=message.call_id,
                    name=message.name,
                    is_error=message.is_error,
                    attachments=message.attachments,
                    cut=len(message.text) > left,
                )
            )
            left -= min(left, len(message.text))
        return tuple(reversed(found))
