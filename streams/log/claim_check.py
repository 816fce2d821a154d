"""Claim check: an event over the broker's limit goes to a file, and a reference to it onto the log.

The name is CloudEvents': the record keeps the envelope, `dataref` names the file and `datadigest`
its SHA-256. Writers and readers share the folder (CONTRACTS 1).
"""

import contextlib
import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import msgspec

from ..events.event import MalformedEvent, decode_event
from ..events.generation import Generation
from ..state.durable import replace_file

_NAME = re.compile(r"[0-9a-f]{64}\.json")
_MARK = b'"dataref"'


class DataReference(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose data is elsewhere."""

    specversion: Literal["1.0"]
    """Version of CloudEvents."""
    id: str
    """The event's own, as in the file."""
    source: str
    """The event's own, as in the file."""
    type: str
    """The event's own."""
    time: str
    """The event's own."""
    receivedtime: str
    """The event's own."""
    dataref: str
    """Name of the file in the shared folder."""
    datadigest: str
    """`sha256:` and the digest of the file, hex."""


class DataMissing(MalformedEvent):
    """The file is not there: never written, or expired after it was read."""

    def __init__(self, reference: DataReference) -> None:
        super().__init__(f"$.dataref: {reference.dataref} is not in the data folder")
        self.source, self.id = reference.source, reference.id


def file_of(folder: Path, payload: bytes) -> Path:
    """Return the path of an event's file: it is named by the digest of its bytes."""
    return folder / f"{hashlib.sha256(payload).hexdigest()}.json"


def store_payload(folder: Path, payload: bytes) -> bytes:
    """Write an event to the folder, durably; return the record that stands for it.

    Writing the same event again changes nothing. Raises MalformedEvent where it is no event, OSError
    where the disk takes no more.
    """
    decode_event(payload)
    envelope = msgspec.json.decode(payload)
    path = file_of(folder, payload)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        replace_file(path, payload)
    fields = ("specversion", "id", "source", "type", "time", "receivedtime")
    return msgspec.json.encode(
        {
            **{field: envelope[field] for field in fields},
            "dataref": path.name,
            "datadigest": f"sha256:{path.stem}",
        }
    )


def resolve(raw: bytes, folder: Path | None) -> bytes:
    """Return the event that a record stands for; any other record is returned as it is.

    Raises DataMissing where the file is gone, and otherwise MalformedEvent where there is no shared
    folder, the name leads elsewhere, or the file is not the one that was written.
    """
    if _MARK not in raw:
        return raw
    try:
        reference = msgspec.json.decode(raw, type=DataReference)
    except (ValueError, RecursionError):  # msgspec's, or of bytes that are no text
        return raw
    if folder is None:
        raise MalformedEvent("$.dataref: stream.data_folder is not set here")
    if not _NAME.fullmatch(reference.dataref):
        raise MalformedEvent("$.dataref: is not the name of a file in the data folder")
    try:
        payload = (folder / reference.dataref).read_bytes()
    except FileNotFoundError as problem:
        raise DataMissing(reference) from problem
    if f"sha256:{hashlib.sha256(payload).hexdigest()}" != reference.datadigest:
        raise MalformedEvent(f"$.datadigest: {reference.dataref} is not the file that was written")
    event = decode_event(payload)
    if (event.source, event.id) != (reference.source, reference.id):
        raise MalformedEvent("$.id: the file holds another event")
    return payload


def delete_events_of(folder: Path, user_hash: str, generation_ids: Collection[str]) -> int:
    """Delete the files of a person's answers and of the feedback on them; return how many.

    Every file is read, also those of records that no daemon has read yet: a folder holds few. A
    file that is no event is left to retention.
    """
    deleted = 0
    for path in folder.glob("*.json"):
        # Another daemon may have deleted it first.
        with contextlib.suppress(FileNotFoundError, MalformedEvent):
            data = decode_event(path.read_bytes()).data
            theirs = isinstance(data, Generation) and data.user_hash == user_hash
            if theirs or data.generation_id in generation_ids:
                path.unlink()
                deleted += 1
    return deleted


def expire(folder: Path, before: float) -> int:
    """Delete files written before then, epoch seconds; return how many."""
    deleted = 0
    for path in folder.glob("*"):
        # Another daemon may have deleted it first.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                deleted += 1
    return deleted
