"""Reader folder: the learned readers on disk; the newest one reads, the others stay named."""

from pathlib import Path

import msgspec

from ...rewards.satisfaction.learned import LearnedReader, reader_of
from ...streams.state.durable import replace_file

KEPT = 20
"""Readers kept; each is some 100 kB."""


class ReaderState(msgspec.Struct, frozen=True, kw_only=True):
    """`state.json`: which reader is in use, and why one is silent."""

    version: str = ""
    """Of the reader in the folder that was made last; empty before there was one."""
    trained_at: float = 0.0
    """When that was last tried, epoch seconds."""
    silent: str = "nothing was learned yet"
    """Why it says nothing; empty where it reads."""


def load_state(folder: Path) -> ReaderState:
    """Return what the folder says; as before the first training where it says nothing."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=ReaderState)
    except (OSError, ValueError):  # msgspec's, or of bytes that are no text
        return ReaderState()


def load_reader(folder: Path, version: str) -> LearnedReader | None:
    """Return a reader by its version; None where it is not there, is damaged, or is another's."""
    if not version:
        return None
    try:
        found = reader_of(_file(folder, version).read_bytes())
    except (OSError, ValueError):
        return None
    return found if found.version == version else None


def keep(folder: Path, state: ReaderState, reader: LearnedReader | None) -> None:
    """Write what was learned: the reader first, then that it is the one in use."""
    folder.mkdir(parents=True, exist_ok=True)
    if reader is not None:
        replace_file(_file(folder, reader.version), reader.to_bytes())
    replace_file(folder / "state.json", msgspec.json.encode(state))
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
    for old in files[:-KEPT]:
        if old != _file(folder, state.version):
            old.unlink(missing_ok=True)


def _file(folder: Path, version: str) -> Path:
    return folder / f"{version.replace('@', '-')}.npz"
