"""Sharegpt: conversations of people who shared them, and the preference files in the same shape.

    {"id": "c1", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]}
    {"conversations": [...], "chosen": {"from": "gpt", ...}, "rejected": {"from": "gpt", ...}}
    {"conversations": [...], "kto_tag": true}

The chosen answer of a pair is accepted, the other one rejected; a tag decides about the last answer.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from ..events.event import Event
from ..events.limits import read_json
from ..events.signals import Accepted, Rejected
from ..traces.documents import Document
from ..traces.messages import Message, messages_of, tool_call
from ..traces.recorded import OnError
from ..traces.trace_reading import BEGINNING, TraceReading, text
from .openai_ft import last_answer


def read_sharegpt(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of a file of shared conversations; no tokens were recorded."""
    reading = TraceReading(path, "sharegpt", on_error, whole=True)
    for document in reading.documents():
        with reading.taking(document.number):
            _take(reading, document)
    return reading.events()


def _take(reading: TraceReading, document: Document) -> None:
    row = document.value
    place = "conversations" if "conversations" in row else "messages"
    messages = [_called(one) for one in messages_of(row.get(place), f"$.{place}")]
    if system := text(row.get("system")):
        messages.insert(0, Message("system", system))
    name = row.get("id")
    session = f"sharegpt-{document.name}" if name in (None, "") else str(name)
    begun = BEGINNING + timedelta(seconds=document.number)
    found = reading.conversation(session, messages, begun)
    decided = begun + timedelta(seconds=len(messages) + 1)
    if "chosen" in row and "rejected" in row:
        parent = found[-1].generation_id if found else None
        for place, signal in (("chosen", Accepted()), ("rejected", Rejected())):
            said = last_answer(messages_of(row[place], f"$.{place}"), f"$.{place}")
            answer = reading.answer(
                f"{session}.{place}", session, messages, said, decided, parent_id=parent
            )
            reading.feedback(place, signal, answer, decided + timedelta(seconds=1))
        return
    if not found:
        raise ValueError(f"$.{place}: holds no answer of the model")
    if isinstance(row.get("kto_tag"), bool):
        signal = Accepted() if row["kto_tag"] else Rejected()
        reading.feedback("kto_tag", signal, found[-1], decided)


def _called(message: Message) -> Message:
    """Return what a `function_call` says as an answer that calls a tool."""
    if message.role != "function_call":
        return message
    try:
        told = read_json(message.text)
        call = tool_call("", told["name"], told.get("arguments"))
    except (ValueError, KeyError, TypeError, AttributeError):
        call = tool_call("", "", message.text)
    return Message("assistant", calls=(call,))
