"""Recorded rows: what the trace adapters share: reading lines, naming events, a clock for each person."""

import codecs
import hashlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from ..events.event import Event, Feedback, FeedbackEvent, GenerationEvent
from ..events.generation import Generation
from ..events.signals import Signal

Row = TypeVar("Row")

_NAMES = uuid.UUID("6c0b7f0e-2f5a-5f0c-9d1e-0a4b1f3c2d11")


class MalformedRow(ValueError):
    """A row of a recording that cannot be read; the message names file, line and field."""


OnError = Callable[[MalformedRow], None]


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line that is not blank, without its line end.

    The byte order mark that some editors write at a file's beginning is no part of its first line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def rows(path: Path, shape: type[Row], on_error: OnError | None) -> Iterator[tuple[str, Row]]:
    """Yield each row with a name that stays the same however often it is read.

    The name is made of the line's number and bytes, so that a file that has grown, read again,
    names what it had before alike. A bad row is raised, or given to `on_error` and left out.
    """
    decoder = msgspec.json.Decoder(shape)
    for number, raw in raw_lines(path):
        try:
            row = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as problem:
            error = MalformedRow(f"{path}:{number}: {problem}")
            if on_error is None:
                raise error from problem
            on_error(error)
            continue
        yield row_name(number, raw), row


def row_name(number: int, raw: bytes) -> str:
    """Return the name of a row: of its number and bytes."""
    return hashlib.blake2b(b"%d:%s" % (number, raw), digest_size=8).hexdigest()


@dataclass(slots=True, kw_only=True)
class Recording:
    """Events of one recording, on a receive clock that never runs backwards for one person."""

    source: str
    """Who the events say wrote them."""
    events: list[Event] = field(default_factory=list)
    """What was recorded so far."""
    _clocks: dict[str, datetime] = field(default_factory=dict)

    def received(self, person: str, at: datetime) -> datetime:
        """Return when a row of a person was received: at its own time, or the person's latest."""
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        self._clocks[person] = max(at, self._clocks.get(person, at))
        return self._clocks[person]

    def generation(self, data: Generation, at: datetime, received: datetime) -> None:
        """Add a generation."""
        self.events.append(
            GenerationEvent(
                id=data.generation_id,
                source=self.source,
                specversion="1.0",
                time=_zoned(at),
                receivedtime=received,
                data=data,
            )
        )

    def feedback(
        self,
        name: str,
        signal: Signal,
        generation: Generation,
        at: datetime,
        received: datetime,
        actor: Literal["person", "agent", "system"] = "person",
    ) -> None:
        """Add feedback on a generation, named by its row and what it says."""
        identity = str(uuid.uuid5(_NAMES, f"{self.source}/{generation.generation_id}/{name}"))
        self.events.append(
            FeedbackEvent(
                id=identity,
                source=self.source,
                specversion="1.0",
                time=_zoned(at),
                receivedtime=received,
                data=Feedback(
                    feedback_id=identity,
                    generation_id=generation.generation_id,
                    session_id=generation.session_id,
                    signal=signal,
                    actor=actor,
                ),
            )
        )

    def in_order(self) -> Iterator[Event]:
        """Yield the events of all persons in the order of receipt.

        Not in the file's order: a keep rate measured after ten minutes must not come before what
        the next minute brought, or horizons would close early.
        """
        return iter(sorted(self.events, key=lambda event: event.receivedtime))


def _zoned(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def hashed(person: str) -> str:
    """Name of a person that is not the person's name."""
    return hashlib.blake2b(person.encode(), digest_size=8, person=b"rlwd-replay").hexdigest()


def later(at: datetime, seconds: float) -> datetime:
    """Return the time so many seconds on."""
    return at + timedelta(seconds=seconds)
