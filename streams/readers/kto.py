"""KTO: unpaired preferences, as TRL writes them: a prompt, a completion, and whether it was good.

    {"prompt": [{"role": "user", "content": "hi"}],
     "completion": [{"role": "assistant", "content": "yo"}], "label": true}

A good completion counts as accepted, another one as rejected. Prompt and completion may be texts.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from ..events.event import Event
from ..events.signals import Accepted, Rejected
from ..traces.messages import Message, messages_of
from ..traces.recorded import OnError
from ..traces.trace_reading import BEGINNING, TraceReading
from .openai_chat import asked
from .openai_ft import last_answer


def read_kto(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of a file of unpaired preferences; no tokens were recorded."""
    reading = TraceReading(path, "kto", on_error, whole=True)
    for document in reading.documents():
        with reading.taking(document.number):
            row = document.value
            label = row.get("label")
            if not isinstance(label, bool) and label not in (0, 1):
                raise ValueError(f"$.label: {label!r} is neither true nor false")
            before = messages_of(row.get("prompt"), "$.prompt")
            written = row.get("completion")
            said = (
                Message("assistant", written)
                if isinstance(written, str)
                else last_answer(messages_of(written, "$.completion"), "$.completion")
            )
            at = BEGINNING + timedelta(seconds=2 * document.number)
            session = f"kto-{document.name}"
            generation = reading.answer(f"{session}.1", session, before, said, at, **asked(row))
            signal = Accepted() if label else Rejected()
            reading.feedback("label", signal, generation, at + timedelta(seconds=1))
    return reading.events()
