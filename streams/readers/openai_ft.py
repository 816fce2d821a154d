"""Openai ft, fine-tuning: files of examples, and of preferences between two answers.

    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}
    {"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}

An example says nothing of what somebody thought of the answer, so it has no feedback; of a pair the
one is accepted and the other rejected.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.signals import Accepted, Rejected
from ..traces.messages import Message, messages_of
from ..traces.recorded import OnError
from ..traces.trace_reading import BEGINNING, TraceReading, mapping
from .openai_chat import asked


def read_openai_ft(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of a fine-tuning file; no tokens were recorded."""
    reading = TraceReading(path, "openai-ft", on_error, whole=True)
    for document in reading.documents():
        with reading.taking(document.number):
            session = f"ft-{document.name}"
            if "preferred_output" in document.value:
                preference(reading, session, document.number, document.value)
                continue
            messages = messages_of(document.value.get("messages"))
            if not any(message.role == "assistant" for message in messages):
                raise ValueError("$.messages: holds no message of the assistant")
            begun = BEGINNING + timedelta(seconds=document.number)
            reading.conversation(session, messages, begun, **asked(document.value))
    return reading.events()


def preference(reading: TraceReading, session: str, number: int, row: Mapping[str, Any]) -> None:
    """Add both answers of a pair: the one that was preferred, and the one that was not."""
    given = mapping(row.get("input"))
    before = messages_of(given.get("messages"), "$.input.messages")
    at = BEGINNING + timedelta(seconds=2 * number)
    for place, name in enumerate(("preferred_output", "non_preferred_output")):
        said = last_answer(messages_of(row.get(name), f"$.{name}"), f"$.{name}")
        generation = reading.answer(
            f"{session}.{place + 1}", session, before, said, at, choice=place, **asked(given)
        )
        signal = Rejected() if place else Accepted()
        reading.feedback(name, signal, generation, at + timedelta(seconds=1))


def last_answer(messages: list[Message], path: str) -> Message:
    """Return the answer of what should be one; raises ValueError with the path where it is none."""
    if not messages or messages[-1].role != "assistant":
        raise ValueError(f"{path}: does not end in a message of the assistant")
    return messages[-1]
