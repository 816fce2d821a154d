"""Claude Code: its session files, one line an event of the conversation; a format without a version.

    {"type": "user", "uuid": "u1", "parentUuid": null, "sessionId": "s", "timestamp": "…",
     "message": {"role": "user", "content": "hi"}}
    {"type": "assistant", "uuid": "u2", "parentUuid": "u1", "sessionId": "s", "timestamp": "…",
     "message": {"id": "msg_1", "role": "assistant", "content": [{"type": "text", "text": "yo"}]}}

An answer may stand on several lines, each with a part of it, under one id of its message, which is the
generation's where the gateway served it. A subagent's lines are a session of their own. What the
harness says in the person's place (summaries, caveats) is told as the system's. A person's stop is an
interruption. Lines of other types are the harness's own and left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.generation import Generation
from ..events.signals import Interrupted
from ..traces.entry_tree import EntryTree, first_text, joined
from ..traces.messages import Message, message_of
from ..traces.recorded import OnError
from ..traces.spoken import Spoken
from ..traces.trace_reading import BEGINNING, TraceReading, mapping, moment, text, usage_of

STOPPED = "[Request interrupted by user"
"""How the line begins that a person's stop leaves."""


@dataclass(slots=True)
class _Answer:
    """An answer, whose parts come line by line."""

    number: int
    first: Mapping[str, Any]
    last: Mapping[str, Any]
    parts: list[Message] = field(default_factory=list)


def read_claude_code(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of a session file; no tokens were recorded."""
    reading = TraceReading(path, "claude-code", on_error)
    session = _Session(reading)
    for document in reading.documents():
        with reading.taking(document.number):
            session.take(document.number, document.value)
    session.answered()
    return reading.events()


class _Session:
    """The lines of a file."""

    def __init__(self, reading: TraceReading) -> None:
        self.reading = reading
        self.tree = EntryTree()
        self.answers: dict[str, _Answer] = {}
        self.results: dict[str, list[tuple[int, Message]]] = {}
        self.stops: list[tuple[int, str, datetime]] = []

    def take(self, number: int, row: Mapping[str, Any]) -> None:
        """Take one line."""
        kind = row.get("type")
        if not isinstance(kind, str):
            raise ValueError("$.type: is missing")
        message = mapping(row.get("message"))
        if kind not in ("user", "assistant") or message.get("model") == "<synthetic>":
            if text(row.get("uuid")):
                self.tree.add(text(row["uuid"]), _parent(row), [])
            return
        id = text(row.get("uuid"))
        said = message_of({"role": kind, **message}, "$.message")
        if kind == "assistant":
            name = text(message.get("id")) or id
            self.tree.add(id, _parent(row), said, name)
            answer = self.answers.setdefault(name, _Answer(number, row, row))
            answer.parts += said
            answer.last = row
            return
        if row.get("isMeta") or row.get("isCompactSummary"):
            said = [one._replace(role="system") for one in said]
        stops = [one.text.startswith(STOPPED) for one in said]
        said = [
            one._replace(role="system") if stop else one
            for one, stop in zip(said, stops, strict=True)
        ]
        self.tree.add(id, _parent(row), said)
        at = moment(row.get("timestamp"), "$.timestamp")
        if any(stops):
            self.stops.append((number, id, at or BEGINNING))
        for one in said:
            if one.call_id:
                self.results.setdefault(one.call_id, []).append((number, one))

    def answered(self) -> None:
        """Add the answers, once all of their parts were read, and the stops."""
        found: dict[str, Generation] = {}
        for name, answer in self.answers.items():
            with self.reading.taking(answer.number):
                found[name] = self._answer(name, answer)
        for number, id, at in self.stops:
            earlier = self.tree.before(id)[1]
            if earlier in found:
                with self.reading.taking(number):
                    self.reading.feedback(f"stop.{id}", Interrupted(), found[earlier], at)

    def _answer(self, name: str, answer: _Answer) -> Generation:
        row, message = answer.first, mapping(answer.last.get("message"))
        before, earlier = self.tree.before(text(row.get("uuid")))
        used = mapping(message.get("usage"))
        read = [used.get(f"{kind}input_tokens") for kind in ("", "cache_read_", "cache_creation_")]
        at = moment(row.get("timestamp"), "$.timestamp")
        session = first_text(row, "sessionId") or "claude-code"
        if row.get("isSidechain"):
            session = f"{session}:{first_text(row, 'agentId') or self._root(row)}"
        return self.reading.answer(
            name,
            session,
            self._with_results(before, earlier),
            joined(answer.parts),
            at or BEGINNING + timedelta(seconds=answer.number),
            parent_id=earlier,
            call_id=first_text(row, "parentToolUseID") or None,
            policy=text(message.get("model")) or "policy",
            harness=f"claude-code {text(row.get('version'))}".strip(),
            finish=message.get("stop_reason"),
            usage=usage_of(
                sum(one for one in read if type(one) is int), used.get("output_tokens"), read[1]
            ),
        )

    def _with_results(self, before: Spoken, earlier: str | None) -> Spoken:
        """Add results that stand beside the way: each follows the line of its own call."""
        if earlier is None:
            return before
        told = {one.call_id for one in before.since if one.call_id}
        calls = [call.id for part in self.answers[earlier].parts for call in part.calls]
        beside = [
            found for call in calls if call not in told for found in self.results.get(call, ())
        ]
        before.since[:0] = [one for _, one in sorted(beside, key=_number)]
        return before

    def _root(self, row: Mapping[str, Any]) -> str:
        at = text(row.get("uuid"))
        while (above := self.tree.parents.get(at)) is not None and above in self.tree.parents:
            at = above
        return at


def _number(found: tuple[int, Message]) -> int:
    return found[0]


def _parent(row: Mapping[str, Any]) -> str | None:
    """Return the line before; a compaction cuts the conversation, and names what it followed."""
    found = row.get("parentUuid") or row.get("logicalParentUuid")
    return found if isinstance(found, str) else None
