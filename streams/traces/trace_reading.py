"""Trace reading: recorded conversations to generations and feedback, whatever the format.

A format says who answered what, when and how; here that becomes a generation with the messages since
the answer before it, as the gateway would have recorded it. Nothing of a row that fails stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from ..events.event import Event, decode_event, encode_event
from ..events.generation import Generation
from ..events.signals import Signal
from ..events.usage import Usage
from .documents import Document, documents
from .messages import Message
from .recorded import MalformedRow, OnError, Recording, hashed
from .spoken import Spoken

BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
"""When a conversation was held that does not say."""
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "eos": "stop",
    "STOP": "stop",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "tool_use": "tool_calls",
    "toolUse": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "refusal": "content_filter",
    "aborted": "abort",
}
"""Ends of answers as others name them."""


class TraceReading:
    """One file that is being read."""

    def __init__(
        self, path: Path, format: str, on_error: OnError | None, *, whole: bool = False
    ) -> None:
        """`whole`: a file of examples, whose answers were written to their end though no row says so."""
        self.path, self.format, self.on_error = path, format, on_error
        self._unsaid = "stop" if whole else ""
        self.recording = Recording(source=f"/replay/{format}")
        self._received: dict[str, datetime] = {}

    def documents(self) -> Iterator[Document]:
        """Yield the objects of the file."""
        return documents(self.path, self.on_error)

    @contextmanager
    def taking(self, number: int, place: str = "") -> Iterator[None]:
        """Take what one row says, all of it or nothing; a ValueError names the row, and the place."""
        before = len(self.recording.events)
        try:
            yield
            for event in self.recording.events[before:]:
                decode_event(encode_event(event))
        except ValueError as problem:
            del self.recording.events[before:]
            error = MalformedRow(f"{self.path}:{number}: {place}{place and ': '}{problem}")
            if self.on_error is None:
                raise error from problem
            self.on_error(error)

    def answer(
        self,
        id: str,
        session: str,
        before: Sequence[Message] | Spoken,
        said: Message,
        at: datetime,
        *,
        person: str = "",
        **more: Any,
    ) -> Generation:
        """Add an answer to the messages before it; `more` are fields of the generation."""
        spoken = before if isinstance(before, Spoken) else Spoken.of(before)
        generation = Generation(
            generation_id=id,
            session_id=session,
            session_found=more.pop("session_found", "named"),
            user_hash=hashed(person or session),
            user_named=bool(person),
            text=said.text,
            reasoning=said.reasoning,
            tool_calls=said.calls,
            tool_call_count=len(said.calls),
            input=spoken.input(),
            earlier_answers=spoken.answers,
            last_answer=spoken.last_digest,
            finish_reason=ended(more.pop("finish", ""), said) or self._unsaid,
            **more,
        )
        self.recording.generation(generation, at, at)
        self._received[id] = at
        return generation

    def conversation(
        self, session: str, messages: Sequence[Message], begun: datetime | None = None, **more: Any
    ) -> list[Generation]:
        """Add each answer of a conversation that was recorded as a whole, a second after another."""
        found: list[Generation] = []
        begun = begun or BEGINNING
        before = Spoken()
        for place, said in enumerate(messages):
            if said.role == "assistant":
                found.append(
                    self.answer(
                        f"{session}.{len(found) + 1}",
                        session,
                        before,
                        said,
                        begun + timedelta(seconds=place),
                        parent_id=found[-1].generation_id if found else None,
                        **more,
                    )
                )
            before.add(said)
        return found

    def feedback(
        self,
        name: str,
        signal: Signal,
        generation: Generation,
        at: datetime,
        actor: Literal["person", "agent", "system"] = "person",
    ) -> None:
        """Add what was done about an answer."""
        # Nothing is said of an answer before it is there, whatever the recorders' clocks say.
        received = max(at, self._received.get(generation.generation_id, at))
        self.recording.feedback(name, signal, generation, at, received, actor)

    def events(self) -> Iterator[Event]:
        """Yield all in the order of receipt."""
        return self.recording.in_order()


def ended(finish: object, said: Message) -> str:
    """Return how an answer ended in our words; one that calls tools ended so, where nobody says."""
    told = FINISHES.get(str(finish or ""), str(finish or ""))
    return told or ("tool_calls" if said.calls else "")


def moment(value: Any, path: str) -> datetime | None:
    """Return a time: ISO 8601, or seconds, milliseconds, micro- or nanoseconds since 1970.

    None where there is none; raises ValueError with the path where it is no time.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str) and not value.isdecimal():
            at = datetime.fromisoformat(value)
            return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        seconds = float(value)
        while seconds >= 1e11:
            seconds /= 1000.0
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise ValueError(f"{path}: {value!r} is no time") from None


def usage_of(prompt: Any = None, completion: Any = None, cached: Any = None) -> Usage:
    """Return counts of tokens; what is no count is left out."""
    return Usage(
        prompt_tokens=_count(prompt) or 0,
        completion_tokens=_count(completion) or 0,
        cached_prompt_tokens=_count(cached),
    )


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        return None
    return int(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def text(value: Any) -> str:
    """Return a text, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def listed(value: Any) -> list[Any]:
    """Return a list, or an empty one for anything else."""
    return value if isinstance(value, list) else []
