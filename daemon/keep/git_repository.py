"""Git repository: what git's command line says of a work tree; nothing is ever written to it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SECONDS = 30.0
"""Longest that one call of git may take."""
MOST_FILES = 200
"""Most changed files among which a moved block is looked for."""
_UNDER_WAY = (
    *("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"),
    *("BISECT_LOG", "index.lock"),
)

_SETTINGS = ("-c", "core.quotePath=false", "-c", "log.showSignature=false")
"""What would change git's words. A person's own setting shows signatures among a log's lines."""


class NotARepository(ValueError):
    """The folder is not inside a git work tree."""


class GitIsSlow(RuntimeError):
    """A call of git took longer than anybody waits for it."""


class HeadMove(NamedTuple):
    """One entry of the reflog of HEAD."""

    commit: str
    """Where HEAD went."""
    action: str
    """What git says it did: `commit: …`, `reset: moving to …`, `checkout: moving from … to …`."""


class TrailerCommit(NamedTuple):
    """A commit that names generations."""

    commit: str
    """Its hash."""
    parent: str
    """Hash of its parent; empty for a first commit."""
    began: float
    """When the parent was committed, epoch seconds."""
    committed: float
    """When it was committed, epoch seconds."""
    generations: list[str]
    """What its trailers name."""


@dataclass(frozen=True, slots=True)
class GitRepository:
    """One work tree."""

    top: Path
    """Its topmost folder."""
    git_dir: Path
    """Where git keeps what belongs to this work tree alone."""

    @classmethod
    def at(cls, folder: Path) -> "GitRepository":
        """Find the work tree around a folder; raises NotARepository, naming the folder."""
        try:
            done = _call(folder, "rev-parse", "--show-toplevel", "--absolute-git-dir")
        except FileNotFoundError:
            raise NotARepository("git is not installed, or not on the PATH") from None
        found = os.fsdecode(done.stdout).removesuffix("\n").split("\n")
        if done.returncode or len(found) != 2:
            why = done.stderr.decode("utf-8", "replace").strip()
            raise NotARepository(f"{folder}: no git work tree: {why}")
        return cls(Path(found[0]), Path(found[1]))

    def head(self) -> str:
        """Return the commit that HEAD stands at; empty before the first commit."""
        return self._ask("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()

    def moves(self) -> list[HeadMove]:
        """Return what HEAD did, newest first."""
        lines = self._ask("log", "-g", "--format=%H%x09%gs", "HEAD").decode("utf-8", "replace")
        return [HeadMove(*line.partition("\t")[::2]) for line in lines.splitlines()]

    def is_busy(self) -> bool:
        """Return whether git is in the middle of something that is no state of the work."""
        return any((self.git_dir / name).exists() for name in _UNDER_WAY)

    def descends(self, commit: str, ancestor: str) -> bool:
        """Return whether a commit is, or follows on, another; on none everything follows."""
        if not ancestor or commit == ancestor:
            return True
        return bool(commit) and not self._run("merge-base", "--is-ancestor", ancestor, commit)[0]

    def dirty(self, path: str | None = None) -> set[str]:
        """Return the files that are not as HEAD has them, or this one where it is not.

        Files that git ignores are none of them.
        """
        only = () if path is None else ("--", path)
        options = ("--porcelain", "--untracked-files=all", "--no-renames", "-z")
        return {one[3:] for one in _names(self._ask("status", *options, *only))}

    def content(self, commit: str, path: str) -> bytes | None:
        """Return a file as a commit has it; None where it has none."""
        if not commit:
            return None
        status, out = self._run("cat-file", "blob", f"{commit}:{path}")
        return None if status else out

    def renames(self, commit: str) -> dict[str, str]:
        """Return the files of a commit that git sees under another name in the work tree: old to new."""
        if not commit:
            return {}
        index = self.git_dir / "rlwd-keep.index"
        extra = {"GIT_INDEX_FILE": str(index)}
        try:
            # An index of our own that knows the untracked files too, so that git compares them.
            self._run("read-tree", commit, extra=extra)
            self._run("add", "--all", "--intent-to-add", "--", ".", extra=extra)
            options = ("-M", "--diff-filter=R", "--name-status", "-z")
            found = self._ask("diff", *options, commit, extra=extra)
        finally:
            index.unlink(missing_ok=True)
            index.with_suffix(".index.lock").unlink(missing_ok=True)
        parts = found.split(b"\0")
        pairs = zip(parts[1::3], parts[2::3], strict=False)
        return {old.decode(): new.decode() for old, new in pairs if _is_utf8(old + new)}

    def changed_since(self, commit: str) -> list[str]:
        """Return the files that differ from a commit or are not tracked, at most MOST_FILES."""
        new = self._ask("ls-files", "--others", "--exclude-standard", "-z")
        changed = self._ask("diff", "--name-only", "-z", commit) if commit else b""
        return sorted(set(_names(new + changed)))[:MOST_FILES]

    def files_of(self, commit: str) -> list[str]:
        """Return the files that a commit added or changed."""
        found = self._ask(
            *("diff-tree", "--root", "-r", "-z", "--no-commit-id", "--name-only"),
            *("--diff-filter=AM", commit),
        )
        return _names(found)[:MOST_FILES]

    def trailed(self, commit: str, trailer: str) -> TrailerCommit | None:
        """Return a commit with what its trailers of a name say; None where it has none, or merges."""
        form = f"%P%x1f%ct%x1f%(trailers:key={trailer},valueonly,separator=%x1e)"
        found = self._ask("log", "-1", f"--format={form}", commit).decode("utf-8", "replace")
        parents, _, rest = found.strip().partition("\x1f")
        at, _, named = rest.partition("\x1f")
        if not named.strip() or " " in parents:
            return None
        began = self._ask("log", "-1", "--format=%ct", parents) if parents else b"0"
        # Commits that were squashed into one may each have brought the same line.
        names = list(dict.fromkeys(one.strip() for one in named.strip().split("\x1e")))
        return TrailerCommit(commit, parents, float(began), float(at), names)

    def _ask(self, *arguments: str, extra: dict[str, str] | None = None) -> bytes:
        return self._run(*arguments, extra=extra)[1]

    def _run(self, *arguments: str, extra: dict[str, str] | None = None) -> tuple[int, bytes]:
        done = _call(self.top, *_SETTINGS, *arguments, extra=extra)
        return done.returncode, done.stdout


def _call(
    folder: Path, *arguments: str, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Call git; raises GitIsSlow, naming the command, where it does not end."""
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env=_environment() | (extra or {}),
        )
    except subprocess.TimeoutExpired:
        told = " ".join(one for one in arguments if one not in _SETTINGS)
        raise GitIsSlow(f"{folder}: git {told}: took over {SECONDS:g} s") from None


def _names(found: bytes) -> list[str]:
    """Return the paths that git lists; one that is no UTF-8 has no row, and is left out."""
    return [one.decode() for one in found.split(b"\0") if one and _is_utf8(one)]


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _environment() -> dict[str, str]:
    """Return the environment for git: its own words, no prompts, and no lock taken for a look.

    A hook runs with GIT_DIR and GIT_INDEX_FILE set, which would point every call elsewhere.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return ours | {
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LITERAL_PATHSPECS": "1",
    }
