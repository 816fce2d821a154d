"""Claude Code hook: what its PostToolUse hook is told of an edit, as written edits.

The hook is told which tool wrote what, and no answer's id: that stands in the transcript, where the
message which holds the tool call has the id that the gateway gave the answer.
"""

from pathlib import Path
from typing import Any

import msgspec
import orjson

from .written_edit import WrittenEdit

TAIL_BYTES = 4_000_000
"""How much of a transcript's end is searched for the call that was just made."""


class _ToolInput(msgspec.Struct, frozen=True):
    file_path: str = ""
    content: str | None = None
    old_string: str | None = None
    new_string: str | None = None
    edits: list["_ToolInput"] = []


class _HookInput(msgspec.Struct, frozen=True, kw_only=True):
    tool_name: str = ""
    tool_use_id: str = ""
    transcript_path: str = ""
    tool_input: Any = None


def edits_of_hook(raw: bytes) -> list[WrittenEdit]:
    """Return what a PostToolUse hook was told; nothing where the tool wrote no file.

    Raises ValueError where the call is not found in the transcript.
    """
    told = msgspec.json.decode(raw, type=_HookInput)
    if told.tool_name not in ("Write", "Edit", "MultiEdit"):
        return []
    given = msgspec.convert(told.tool_input, _ToolInput)
    name = _answer_of(Path(told.transcript_path), told.tool_use_id)
    if told.tool_name == "Write":
        return [WrittenEdit(generation_id=name, file=given.file_path, text=given.content or "")]
    return [
        WrittenEdit(
            generation_id=name,
            file=given.file_path,
            text=one.new_string or "",
            old_text=one.old_string or "",
        )
        for one in given.edits or [given]
    ]


def _answer_of(transcript: Path, tool_use_id: str) -> str:
    try:
        with transcript.open("rb") as file:
            file.seek(max(0, transcript.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError as problem:
        raise ValueError(f"transcript_path: {transcript}: {problem.strerror}") from None
    for line in reversed(lines):
        if tool_use_id.encode() not in line:
            continue
        try:
            message = orjson.loads(line)["message"]
            calls = [b.get("id") for b in message["content"] if b.get("type") == "tool_use"]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            continue
        if tool_use_id in calls and isinstance(message.get("id"), str):
            return str(message["id"])
    raise ValueError(f"tool_use_id: {tool_use_id!r} is no call in {transcript}")
