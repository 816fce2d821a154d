"""DoorStream: a chat stream, as the chat door would send it, turned into another API's events."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..capture.engine_json import read_engine_json, write_json
from ..capture.event_stream import EventStream, fields
from .chat_blocks import ChatBlocks, Step
from .reply import Reply

DONE = b"[DONE]"


class DoorStream(ABC):
    """Reads chunks and writes events; it begins with the first chunk and ends once."""

    def __init__(self, reply: Reply) -> None:
        self.reply, self.order = reply, ChatBlocks()
        self.finish = ""
        """How the engine said that it ended."""
        self.stop: str | None = None
        """The text at which it was stopped."""
        self._stream = EventStream()
        self._begun = self._over = False

    def feed(self, passed: bytes) -> bytes:
        """Return the events for these bytes of a chat stream."""
        return b"".join(
            [told for event in self._stream.feed(passed) for told in self._event(event)]
        )

    def _event(self, event: bytes) -> Iterator[bytes]:
        comments, data = fields(event)
        if comments:
            # Sent to keep a connection open; what it says is the engine's own.
            yield self.keep_alive()
        if data is None or self._over:
            return
        if data.strip() == DONE:
            yield from self._end()
            return
        try:
            piece = read_engine_json(data)
        except ValueError:
            piece = {"error": {"message": "the engine's stream is damaged"}}
        if isinstance(piece, Mapping):
            yield from self._take(piece)

    def _take(self, piece: Mapping[str, Any]) -> Iterator[bytes]:
        if piece.get("error"):
            yield from self._fail(piece["error"])
            return
        yield from self._begin()
        choices = piece.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else ():
            if not isinstance(choice, Mapping):
                continue
            delta = choice.get("delta")
            if isinstance(delta, Mapping):
                yield from self._steps(self.order.take(delta))
            finish, stop = choice.get("finish_reason"), choice.get("stop_reason")
            if isinstance(finish, str) and finish:
                self.finish, self.stop = finish, stop if isinstance(stop, str) else None
                yield from self._steps(self.order.end())

    def _begin(self) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            yield from self.begin()

    def _end(self) -> Iterator[bytes]:
        if not self.finish:
            yield from self._fail({"message": "the engine did not say how its answer ended"})
            return
        yield from self._steps(self.order.end())
        self._over = True
        yield from self.complete()

    def _fail(self, error: Any) -> Iterator[bytes]:
        told = error if isinstance(error, Mapping) else {}
        yield from self._begin()
        self._over = True
        yield from self.fail(str(told.get("message") or "the engine failed"), told.get("code"))

    def _steps(self, steps: Iterable[Step]) -> Iterator[bytes]:
        for step in steps:
            yield from self.step(step)

    @abstractmethod
    def keep_alive(self) -> bytes:
        """Return what keeps a connection open and means nothing."""

    @abstractmethod
    def begin(self) -> Iterator[bytes]:
        """Yield the events before the first block."""

    @abstractmethod
    def step(self, step: Step) -> Iterator[bytes]:
        """Yield the events of one step."""

    @abstractmethod
    def complete(self) -> Iterator[bytes]:
        """Yield the events after the last block."""

    @abstractmethod
    def fail(self, message: str, code: Any) -> Iterator[bytes]:
        """Yield the events that end an answer which broke off."""


def typed_event(event: Mapping[str, Any]) -> bytes:
    """Return an event under the name of its own type."""
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + write_json(event) + b"\n\n"
