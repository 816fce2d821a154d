"""Work tree: the files as they are at one moment, and where HEAD stands then."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .git_repository import GitRepository, HeadMove
from .keep_state import WatchedFile
from .line_keys import LARGEST, LineKey, is_binary, line_keys
from .owned_lines import OwnedLine


class Unreadable(ValueError):
    """A file that has no lines to watch; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkTree:
    """One look at a work tree."""

    repository: GitRepository
    """Whose it is."""
    head: str
    """Where HEAD stands."""
    moves: list[HeadMove]
    """What HEAD did, newest first."""
    now: float
    """When, epoch seconds."""

    @classmethod
    def of(cls, repository: GitRepository, now: float) -> "WorkTree":
        """Look at where HEAD stands."""
        return cls(repository=repository, head=repository.head(), moves=repository.moves(), now=now)

    def inside(self, file: str, folder: Path) -> str:
        """Return a file's path from the top; raises ValueError where it is not in the work tree.

        `folder` is what a relative path starts from. Links are not followed: what they lead to is
        another file, or none of this repository's.
        """
        top = self.repository.top.resolve()
        path = Path(os.path.normpath(folder / file))
        parent = path.parent.resolve()
        if not parent.is_relative_to(top) or ".git" in parent.relative_to(top).parts:
            raise ValueError(f"file: {file!r} is not in the work tree {top}")
        found = str((parent / path.name).relative_to(top))
        try:
            found.encode()
        except UnicodeEncodeError:
            raise ValueError(f"file: {file!r}: the path is no UTF-8") from None
        return found

    def stamp(self, path: str) -> str:
        """Return what tells an untouched file; empty where there is no file."""
        try:
            found = os.lstat(self.repository.top / path)
        except OSError:
            return ""
        return f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"

    def modified(self, path: str) -> float:
        """Return when a file was last written, epoch seconds; 0 where there is none."""
        stamp = self.stamp(path)
        return int(stamp.partition(":")[0]) / 1e9 if stamp else 0.0

    def keys(self, path: str) -> list[LineKey] | None:
        """Return the lines of a file; None where it is gone. Raises as `content`."""
        content = self.content(path)
        return None if content is None else line_keys(content)

    def content(self, path: str) -> bytes | None:
        """Return what stands in a file; None where it is gone.

        Raises Unreadable for what has no lines to watch: links, folders, binary and huge files.
        """
        full = self.repository.top / path
        try:
            found = os.lstat(full)
            if not stat.S_ISREG(found.st_mode):
                raise Unreadable(f"{path}: is no file")
            if found.st_size > LARGEST:
                raise Unreadable(f"{path}: {found.st_size} bytes, more than {LARGEST}")
            content = full.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            raise Unreadable(f"{path}: {problem.strerror}") from None
        if is_binary(content):
            raise Unreadable(f"{path}: is binary")
        return content

    def committed(self, path: str, commit: str) -> list[LineKey]:
        """Return the lines of a file as a commit has it; none where it has none to watch."""
        content = self.repository.content(commit, path)
        if content is None or len(content) > LARGEST or is_binary(content):
            return []
        return line_keys(content)

    def seen(
        self, file: WatchedFile, lines: Sequence[OwnedLine], dirty: set[str] | None = None
    ) -> WatchedFile:
        """Return a file's row as of now; `dirty` is what git says of all files, where it was asked."""
        if dirty is None:
            dirty = self.repository.dirty(file.path)
        return WatchedFile(
            id=file.id,
            path=file.path,
            lines=tuple(lines),
            head=self.head,
            moves=len(self.moves),
            clean=file.path not in dirty,
            stamp=self.stamp(file.path),
        )

    def follows(self, file: WatchedFile) -> bool:
        """Return whether what a file lost since it was seen, people took away by hand.

        A reset, a stash and a change to another line of history take lines out of sight, and say
        nothing about them, unless HEAD had them when they were seen and follows on that now.
        """
        if not self._moved_away(file):
            return True
        return file.clean and self.repository.descends(self.head, file.head)

    def _moved_away(self, file: WatchedFile) -> bool:
        """Return whether git may have taken a file's lines out of sight since it was seen."""
        newer = len(self.moves) - file.moves
        # A reflog that was cut short, or that nobody keeps, says nothing of what HEAD did.
        if newer < 0 or (newer == 0 and self.head != file.head):
            return True
        since = self.moves[:newer]
        before = [move.commit for move in self.moves[1 : newer + 1]] + [file.head]
        return any(
            move.action.startswith("reset:")
            or (move.action.startswith("checkout:") and move.commit != old)
            for move, old in zip(since, before, strict=False)
        )
