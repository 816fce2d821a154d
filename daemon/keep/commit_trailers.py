"""Commit trailers: commits made here that name the generation which wrote them.

    Round half up

    Rlwd-Generation: 3f2a9c1b7d.8e01

For a harness that commits what an agent did and tells nothing else. A commit with one trailer, of a
generation that is not under watch yet, is taken: what it added, it wrote. Commits that were fetched
are another clone's to measure.
"""

from collections import Counter

import structlog

from ...streams.state.transaction import Transaction
from .git_repository import TrailerCommit
from .keep_state import (
    WatchedFile,
    Written,
    add_lost,
    add_written,
    files_at,
    is_written,
    note,
    save_file,
    write_note,
)
from .line_keys import LineKey
from .owned_lines import OwnedLine, carry, unowned
from .work_tree import Unreadable, WorkTree
from .written_edit import excuse, take

log = structlog.get_logger()

TRAILER = "Rlwd-Generation"
MOST_COMMITS = 100
"""Most commits since the last look that are asked for trailers."""
_SEEN = "moves_asked_for_trailers"


def take_trailers(tree: WorkTree, tx: Transaction) -> None:
    """Watch what was committed here since the last time with a trailer; the first time asks nothing."""
    seen = note(tx, _SEEN)
    write_note(tx, _SEEN, str(len(tree.moves)))
    newer = 0 if seen is None else max(0, len(tree.moves) - int(seen))
    made = [move.commit for move in tree.moves[:newer] if move.action.startswith("commit")]
    started: set[str] = set()
    for commit in reversed(made[:MOST_COMMITS]):
        found = tree.repository.trailed(commit, TRAILER)
        if found is None:
            continue
        if len(found.generations) > 1:
            log.warning("commit_names_several_generations", commit=commit)
            continue
        name = found.generations[0].strip()
        if len(name) <= 400 and (name in started or not is_written(tx, name)):
            started.add(name)
            for path in tree.repository.files_of(commit):
                _watch(tree, tx, found, name, path)


def _watch(tree: WorkTree, tx: Transaction, commit: TrailerCommit, name: str, path: str) -> None:
    """Watch the lines that a commit added to one file, as far as they still stand there."""
    try:
        keys = tree.keys(path)
    except Unreadable:
        return
    before = tree.committed(path, commit.parent)
    then = carry(unowned(before), tree.committed(path, commit.commit))
    wrote = [
        OwnedLine(line.key, name if at in then.inserted else "")
        for at, line in enumerate(then.lines)
    ]
    count = sum(line.counts for line in wrote)
    if keys is None or not count:
        return
    taken = Counter(before) - Counter(line.key for line in then.lines)
    file, lines = _standing(tree, tx, path, keys, taken)
    now = carry(wrote, keys)
    lines = [
        mine if mine.owner else OwnedLine(mine.key, theirs.owner)
        for mine, theirs in zip(lines, now.lines, strict=True)
    ]
    excuse(tx, path, Counter(taken), commit.began)
    save_file(tx, tree.seen(file, lines))
    add_lost(tx, path, now.lost_lines, tree.now, by_agent=False)
    add_written(tx, Written(name, "", "", min(commit.committed, tree.now), count))


def _standing(
    tree: WorkTree, tx: Transaction, path: str, keys: list[LineKey], taken: Counter[LineKey]
) -> tuple[WatchedFile, list[OwnedLine]]:
    """Return the file under watch as it stands; what the commit took away, an agent took."""
    file = next((one for one in files_at(tx, path) if not one.away), None)
    if file is None:
        file = WatchedFile(path=path, lines=(), head="", moves=0, clean=False)
        return file, unowned(keys)
    carried, left = carry(file.lines, keys), Counter(taken)
    for line in carried.lost_lines:
        add_lost(tx, path, [line], tree.now, by_agent=take(left, line.key))
    return file, carried.lines
