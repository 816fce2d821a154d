"""pi: session files of the pi coding agent, versions 1 (a list) to 3 (a tree).

    {"type": "session", "version": 3, "id": "s", "timestamp": "…", "cwd": "/work"}
    {"type": "message", "id": "a1", "parentId": null, "timestamp": "…",
     "message": {"role": "user", "content": "hi"}}
    {"type": "message", "id": "a2", "parentId": "a1", "timestamp": "…",
     "message": {"role": "assistant", "content": [{"type": "text", "text": "yo"}],
                 "model": "m", "usage": {...}, "stopReason": "stop"}}

An answer that the person stopped is interrupted. Summaries of a compaction or a branch, and commands
that the person ran, are what the model was told by the harness. Labels and settings are left out.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.signals import Interrupted
from ..traces.entry_tree import EntryTree, first_text
from ..traces.messages import Message, message_of, text_of
from ..traces.recorded import OnError
from ..traces.trace_reading import BEGINNING, TraceReading, mapping, moment, text, usage_of

_IGNORED = frozenset(
    (
        *("model_change", "thinking_level_change", "label", "session_info", "custom", "ephemeral"),
        "context_transform",
    )
)


def read_pi(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of a session file; no tokens were recorded."""
    reading = TraceReading(path, "pi", on_error)
    session = _Session(reading)
    for document in reading.documents():
        with reading.taking(document.number):
            session.take(document.number, document.value)
    return reading.events()


class _Session:
    """The session whose lines are being read; a file may hold several, one after another."""

    def __init__(self, reading: TraceReading) -> None:
        self.reading = reading
        self.id, self.version, self.tree = "", 0, EntryTree()
        self.last: str | None = None

    def take(self, number: int, row: Mapping[str, Any]) -> None:
        """Take one line."""
        kind = row.get("type")
        if kind == "session":
            version = row.get("version", 1)
            if version not in (1, 2, 3):
                raise ValueError(f"$.version: {version!r} is none of 1, 2, 3")
            if not text(row.get("id")):
                raise ValueError("$.id: is missing")
            self.id, self.version = text(row["id"]), version
            self.tree, self.last = EntryTree(), None
            return
        if not self.id:
            raise ValueError("$.type: the session's own line does not stand before this one")
        said = _said(row)
        id = text(row.get("id")) or (f"line{number}" if self.version == 1 else "")
        parent = self.last if self.version == 1 else row.get("parentId")
        message = mapping(row.get("message"))
        answered = kind == "message" and message.get("role") == "assistant"
        answer = f"{self.id}.{id}" if answered else ""
        self.tree.add(id, parent if isinstance(parent, str) else None, said, answer)
        self.last = id
        if answered:
            self._answer(number, row, message, id)

    def _answer(
        self, number: int, row: Mapping[str, Any], message: Mapping[str, Any], id: str
    ) -> None:
        before, earlier = self.tree.before(id)
        used = mapping(message.get("usage"))
        read = [used.get(name) for name in ("input", "cacheRead", "cacheWrite")]
        at = moment(row.get("timestamp", message.get("timestamp")), "$.timestamp")
        at = at or BEGINNING + timedelta(seconds=number)
        generation = self.reading.answer(
            f"{self.id}.{id}",
            self.id,
            before,
            self.tree.said[id][-1],
            at,
            parent_id=earlier,
            policy=text(message.get("model")) or "policy",
            harness="pi",
            finish=message.get("stopReason"),
            usage=usage_of(
                sum(one for one in read if type(one) is int), used.get("output"), read[1]
            ),
        )
        if message.get("stopReason") == "aborted":
            self.reading.feedback("aborted", Interrupted(), generation, at + timedelta(seconds=1))


def _said(row: Mapping[str, Any]) -> list[Message]:
    """Return what an entry tells the model."""
    kind = text(row.get("type"))
    if kind in ("compaction", "branch_summary"):
        return [Message("system", text(row.get("summary")), name=kind)]
    if kind == "custom_message":
        return [Message("system", text_of(row.get("content")), name=first_text(row, "customType"))]
    if kind in _IGNORED:
        return []
    if kind != "message":
        raise ValueError(f"$.type: {kind!r} is no entry of a session")
    message = mapping(row.get("message"))
    role = message.get("role")
    if role == "bashExecution":
        ran = f"$ {text(message.get('command'))}\n{text(message.get('output'))}"
        return [Message("system", ran, name="bash")]
    if role in ("branchSummary", "compactionSummary"):
        return [Message("system", text(message.get("summary")), name=str(role))]
    if role == "custom":
        return [Message("system", text_of(message.get("content")), name="custom")]
    return message_of(message)
