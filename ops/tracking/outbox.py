"""Outbox: the file of registry operations that MLflow has not confirmed yet."""

import contextlib
import threading
from collections import deque
from pathlib import Path

import msgspec
import structlog

from ...streams.state.durable import replace_file
from ..statistics.verdict import Verdict

log = structlog.get_logger()

PARENT = "parent"
"""Run key of the daemon life's own run; every other key is a version."""


class CandidateEntry(msgspec.Struct, frozen=True, kw_only=True, tag="candidate"):
    """A version was made: nested run, adapter files, registered model version."""

    version: str
    """Its name."""
    life: str
    """Daemon life under whose run it nests."""
    at: float
    """Epoch seconds."""
    tags: dict[str, str]
    """Parent, batch and digests, as MLflow's tags."""
    params: dict[str, str]
    """What it was made with; never changed later."""
    metrics: dict[str, float]
    """What the update measured; finite numbers alone, since MLflow takes no others."""
    adapter_path: str
    """Folder to upload."""


class AliasEntry(msgspec.Struct, frozen=True, kw_only=True, tag="alias"):
    """Who is champion, challenger, previous, anchor."""

    aliases: dict[str, str | None]
    """Alias to version; None takes it away."""


class OutcomeEntry(msgspec.Struct, frozen=True, kw_only=True, tag="outcome"):
    """What became of a version."""

    version: str
    """Its name."""
    life: str
    """Daemon life, should its run not exist yet."""
    outcome: str
    """promoted, rolled_back, superseded, …"""
    reason: str
    """Why the version came to this, as the status page shows it."""
    at: float
    """Epoch seconds."""


class EvidenceEntry(msgspec.Struct, frozen=True, kw_only=True, tag="evidence"):
    """What the gate said of a version, and from which evidence."""

    version: str
    """Its name."""
    life: str
    """Daemon life, should its run not exist yet."""
    verdict: Verdict
    """Its answer with reasons and finite numbers, those of its suites among them."""
    at: float
    """Epoch seconds."""


Entry = CandidateEntry | AliasEntry | OutcomeEntry | EvidenceEntry


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the file: an entry, or the number of one that is done."""

    number: int
    entry: Entry | None = None


_LINE = msgspec.json.Decoder(_Line)


class Outbox:
    """Entries in order; each is appended before `append` returns and goes when `done` is called.

    A torn last line, from a kill in mid-write, is the one thing a kill may lose. Replaying an entry
    that MLflow has already is harmless. Where the disk refuses, entries live in memory only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._pending: deque[_Line] = deque()
        self._number = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._load()
        self._rewrite()

    def __len__(self) -> int:
        return len(self._pending)

    def append(self, entry: Entry) -> None:
        """Keep an entry until it is done."""
        with self._lock:
            self._number += 1
            line = _Line(number=self._number, entry=entry)
            self._pending.append(line)
            self._write(line)

    def first(self) -> Entry | None:
        """Return the oldest entry."""
        with self._lock:
            return self._pending[0].entry if self._pending else None

    def done(self) -> None:
        """Let the oldest entry go."""
        with self._lock:
            line = self._pending.popleft()
            self._write(_Line(number=line.number))
            if not self._pending:
                self._rewrite()

    def _load(self) -> None:
        entries: dict[int, _Line] = {}
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for raw in lines:
            try:
                line = _LINE.decode(raw)
            except ValueError as error:  # msgspec's, or of bytes that are no text
                log.warning("mirror_spool_line_unreadable", path=str(self.path), error=str(error))
                continue
            self._number = max(self._number, line.number)
            if line.entry is None:
                entries.pop(line.number, None)
            else:
                entries[line.number] = line
        self._pending.extend(entries.values())

    def _write(self, line: _Line) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            log.warning("mirror_spool_not_written", path=str(self.path), error=str(error))

    def _rewrite(self) -> None:
        """Leave only what is pending in the file."""
        with contextlib.suppress(OSError):
            replace_file(self.path, b"".join(msgspec.json.encode(x) + b"\n" for x in self._pending))
