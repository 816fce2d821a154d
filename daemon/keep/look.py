"""Look: what became of the lines under watch since the work tree was last looked at.

A line that is gone was taken away by a person, unless an agent's recorded edit took it. A line that
went elsewhere (a renamed file, a block moved within a file or into another one) is still there. A
line of a file that is gone, or of a line of history that is not checked out, is out of sight: it is
neither kept nor lost until it is seen again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...streams.state.transaction import Transaction
from .git_repository import GitRepository
from .keep_state import WatchedFile, add_lost, files_at, glances, save_file, watched_file
from .line_keys import LineKey
from .owned_lines import MOVED_BETWEEN_FILES, Carried, OwnedLine, carry, claim_moved, unowned
from .work_tree import Unreadable, WorkTree

SETTLED = 10.0
"""Seconds for which a file that was just written is left alone, so that an agent's edit is recorded
before it is taken for a person's."""

_FEW = 3
"""Files for which git is asked one by one."""


@dataclass(slots=True)
class _Changed:
    """A file that is being looked at."""

    file: WatchedFile
    carried: Carried


@dataclass(slots=True)
class _Gone:
    """A file that is out of sight."""

    file: WatchedFile
    claimable: bool
    """Whether its lines may have gone into other files: not where it is on another branch."""


@dataclass(slots=True)
class TreeLook:
    """One look at all files under watch."""

    tree: WorkTree
    """The work tree."""
    tx: Transaction
    """Of the state."""
    _changed: list[_Changed] = field(default_factory=list)
    _gone: list[_Gone] = field(default_factory=list)
    _renames: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, settled: float = SETTLED) -> None:
        """Bring every file under watch up to date, but those written in the last seconds."""
        count = len(self.tree.moves)
        for glance in glances(self.tx):
            stamp = self.tree.stamp(glance.path)
            if stamp == glance.stamp and (glance.away or glance.moves == count):
                continue
            if 0.0 <= self.tree.now - self.tree.modified(glance.path) < settled:
                continue
            self._look_at(watched_file(self.tx, glance.id))
        self._find_moved()
        # Asked once for many: a commit changes where every file stands.
        dirty = self.tree.repository.dirty() if len(self._changed) > _FEW else None
        for one in self._changed:
            save_file(self.tx, self.tree.seen(one.file, one.carried.lines, dirty))
            lost = one.carried.lost_lines
            add_lost(self.tx, one.file.path, lost, self.tree.now, by_agent=False)
        for gone in self._gone:
            # Head and moves stay as they were when it was last in sight.
            stamp = self.tree.stamp(gone.file.path)
            save_file(self.tx, replace(gone.file, away=True, stamp=stamp))

    def _look_at(self, file: WatchedFile) -> None:
        try:
            keys = self.tree.keys(file.path)
        except Unreadable:
            self._gone.append(_Gone(file, claimable=False))
            return
        if keys is None:
            self._look_for(file)
        elif file.away and (beside := _in_sight(self.tx, file)) is not None:
            self._merge(file, beside, keys)
        else:
            self._judge(file, carry(file.lines, keys))

    def _judge(self, file: WatchedFile, carried: Carried) -> None:
        lost = carried.lost_lines
        kept = any(line.counts for line in carried.lines)
        if lost and (not self.tree.follows(file) or (file.away and not kept)):
            self._gone.append(_Gone(file, claimable=False))
        else:
            self._changed.append(_Changed(file, carried))

    def _look_for(self, file: WatchedFile) -> None:
        """Look for a file that is not where it was."""
        new = None if file.away else self._new_name(file)
        try:
            keys = self.tree.keys(new) if new and not files_at(self.tx, new) else None
        except Unreadable:
            keys = None
        if new is None or keys is None:
            claimable = not file.away and self.tree.follows(file)
            self._gone.append(_Gone(file, claimable))
        else:
            self._judge(replace(file, path=new), carry(file.lines, keys))

    def _new_name(self, file: WatchedFile) -> str | None:
        # Asked once a look: a change of branches takes many files away at a time.
        if file.head not in self._renames:
            self._renames[file.head] = self.tree.repository.renames(file.head)
        return self._renames[file.head].get(file.path)

    def _merge(self, file: WatchedFile, beside: WatchedFile, keys: Sequence[LineKey]) -> None:
        """Give a file that comes back into sight, beside one that was made meanwhile, its lines."""
        carried = carry(file.lines, keys)
        if carried.lost_lines:
            self._gone.append(_Gone(file, claimable=False))
            return
        one = next((c for c in self._changed if c.file.id == beside.id), None)
        if one is None:
            one = _Changed(beside, carry(beside.lines, keys))
            self._changed.append(one)
        lines = [
            mine if mine.owner else theirs
            for mine, theirs in zip(one.carried.lines, carried.lines, strict=True)
        ]
        one.carried = replace(one.carried, lines=lines)
        save_file(self.tx, replace(file, lines=tuple(unowned([k for k, _ in file.lines]))))

    def _find_moved(self) -> None:
        """Give lines that stand in another file now their owners there."""
        heads = {one.file.head for one in self._changed if one.carried.lost_lines}
        heads |= {gone.file.head for gone in self._gone if gone.claimable}
        for head in sorted(heads):
            for path in self.tree.repository.changed_since(head):
                self._claim(path, head)

    def _claim(self, path: str, head: str) -> None:
        into = self._target(path, head)
        if into is None or not into.carried.inserted:
            return
        free = len(into.carried.inserted)
        for one in self._changed:
            if one is not into:
                into.carried, left = claim_moved(
                    into.carried, one.carried.lost, MOVED_BETWEEN_FILES
                )
                one.carried = replace(one.carried, lost=left)
        for gone in self._gone:
            if gone.claimable:
                runs = [[line for line in gone.file.lines if line.owner]]
                into.carried, left = claim_moved(into.carried, runs, MOVED_BETWEEN_FILES)
                lines = tuple(line for run in left for line in run)
                gone.file = replace(gone.file, lines=lines)
        if len(into.carried.inserted) < free and into not in self._changed:
            self._changed.append(into)

    def _target(self, path: str, head: str) -> _Changed | None:
        """Return a file that lines may have moved into, as it stands."""
        known = next((one for one in self._changed if one.file.path == path), None)
        if known is not None or any(not file.away for file in files_at(self.tx, path)):
            # A file under watch that is not among the changed has nothing new in it.
            return known
        try:
            keys = self.tree.keys(path)
        except Unreadable:
            return None
        if keys is None:
            return None
        before: list[OwnedLine] = unowned(self.tree.committed(path, head))
        file = WatchedFile(path=path, lines=(), head="", moves=0, clean=False)
        return _Changed(file, carry(before, keys))


def _in_sight(tx: Transaction, file: WatchedFile) -> WatchedFile | None:
    return next((one for one in files_at(tx, file.path) if not one.away), None)


def look(repository: GitRepository, tx: Transaction, now: float, settled: float = SETTLED) -> None:
    """Bring every file under watch up to date; does nothing while git is in the middle of something."""
    if not repository.is_busy():
        TreeLook(WorkTree.of(repository, now), tx).take(settled)
