"""Replay folder: what versions did on a benchmark, numbers alone, in a file for each."""

from pathlib import Path

import msgspec
import structlog

from ...streams.state.durable import replace_file
from .replayed import ReplayedAnswer

log = structlog.get_logger()

KEPT = 50
"""Versions whose replays are kept: the newest."""


class VersionReplay(msgspec.Struct, frozen=True, kw_only=True):
    """One version's answers to a benchmark."""

    version: str
    """Whose."""
    benchmark: str
    """On which, with its number and digest."""
    at: float
    """When, epoch seconds."""
    limit: int
    """Most tokens of an answer there, `benchmark.answer_tokens`."""
    answers: tuple[ReplayedAnswer, ...]
    """What they were."""


def write_replay(folder: Path, replay: VersionReplay) -> None:
    """Keep a version's answers in the place of those before; the oldest versions' go."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / f"{replay.version}.json", msgspec.json.encode(replay))
    for path in sorted(folder.glob("*.json"), key=lambda one: one.stat().st_mtime)[:-KEPT]:
        path.unlink(missing_ok=True)


def read_replay(folder: Path, version: str) -> VersionReplay | None:
    """Return a version's answers; None where it was never replayed, or its file cannot be read."""
    path = folder / f"{version}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=VersionReplay)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        log.warning("replay_unreadable", path=str(path), problem=str(problem))
        return None


def replays(folder: Path) -> list[VersionReplay]:
    """Return all that are kept, by version."""
    found = (read_replay(folder, path.stem) for path in sorted(folder.glob("*.json")))
    return [one for one in found if one is not None]
