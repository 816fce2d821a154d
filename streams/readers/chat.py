"""Recorded chats to events: each row one answer, and what the person copied out of it.

A row holds the conversation so far, so its session is found by its beginning: a request that goes
on from an earlier one of the same person, with or without the answer to it, belongs to the same
session and answers to that generation.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ..events.event import Event
from ..events.generation import Generation
from ..events.signals import Copied
from ..traces.conversations import Conversations
from ..traces.messages import Message
from ..traces.recorded import OnError, Recording, hashed, later, rows

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
"""The rows count seconds from each person's beginning; all begin here."""
COPIED_AFTER_SECONDS = 1.0
"""Nobody wrote down when something was copied."""


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: str
    content: str | None = None


class CopyEvent(msgspec.Struct, frozen=True):
    """Something copied out of an answer."""

    copied: str | None = None


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange as it was logged."""

    programmer: int | str
    time: float | str
    model: str = "chat"
    task: str | None = None
    request: list[ChatMessage]
    response: str | None = None
    copy_events: list[CopyEvent] | None = None

    def __post_init__(self) -> None:
        try:
            seconds = float(self.time)
        except ValueError as problem:
            raise ValueError(f"$.time: {self.time!r} is not a number of seconds") from problem
        if not 0.0 <= seconds < 1e9:
            raise ValueError(f"$.time: {self.time!r} is not a number of seconds from 0 to 1e9")


def read_chat(
    path: Path, *, policy: str | None = None, on_error: OnError | None = None
) -> Iterator[Event]:
    """Yield the events of a file of chats, in the order of receipt; the policy is the row's model.

    No token ids were recorded, so lanes that need them exclude these generations. Raises
    MalformedRow, naming file and line, unless `on_error` takes it.
    """
    recording = Recording(source="/replay/chat")
    of_person: dict[str, Conversations] = {}
    for name, row in rows(path, ChatRow, on_error):
        person = str(row.programmer)
        at = later(EPOCH, float(row.time))
        received = recording.received(person, at)
        conversations = of_person.setdefault(person, Conversations())
        request = [Message(said.role, said.content or "") for said in row.request]
        parent = conversations.parent(request)
        session = parent.session_id if parent else f"chat-{person}-{name}"
        generation = Generation(
            generation_id=f"{session}.{name}",
            session_id=session,
            parent_id=parent.generation_id if parent else None,
            user_hash=hashed(person),
            segment=row.task or "default",
            policy=policy or row.model,
            text=row.response or "",
        )
        conversations.add(request, row.response or "", generation)
        recording.generation(generation, at, received)
        for number, event in enumerate(row.copy_events or ()):
            copied = received = recording.received(person, later(received, COPIED_AFTER_SECONDS))
            recording.feedback(
                f"{name}.{number}", Copied(text=event.copied or ""), generation, copied, received
            )
    return recording.in_order()
