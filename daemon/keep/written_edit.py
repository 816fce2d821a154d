"""Written edit: what an agent's edit wrote, as a harness tells it, and how its lines are found.

{"generation_id": "s1.g1", "file": "src/a.py", "text": "what stands there now",
 "old_text": "what the edit took away"}
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from ...streams.events.limits import check_name, check_time
from ...streams.events.signals import Identifier
from ...streams.state.transaction import Transaction
from .keep_state import (
    MOST_GENERATIONS,
    WatchedFile,
    Written,
    add_lost,
    add_written,
    files_at,
    save_file,
)
from .line_keys import LineKey, letters_of, line_keys
from .look import SETTLED
from .owned_lines import Carried, OwnedLine, carry, unowned
from .told_lines import ToldLines, deleted_from, told_lines
from .work_tree import Unreadable, WorkTree

LineNumber = Annotated[int, msgspec.Meta(ge=1)]


class WrittenEdit(msgspec.Struct, frozen=True, kw_only=True):
    """One edit that a generation made of one file, after it was made."""

    generation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    """The `id` of the answer that asked for the edit."""
    file: str
    """Path, from the folder of the call or absolute."""
    text: str | None = None
    """What was written. Where it is left out, every line that is new in the file was."""
    old_text: str | None = None
    """What was replaced. Where it is left out, the agent took away every line that is gone."""
    lines: tuple[LineNumber, LineNumber] | None = None
    """First and last line of what was written, for a text that stands there more than once."""
    session_id: Identifier | None = None
    """Needed only for answers that no gateway gave out."""
    tenant: str = ""
    """Where the token is for no one tenant."""
    at: datetime | None = None
    """When the edit was made, with its zone; else now. Horizons run from here."""


def decode_edits(raw: bytes) -> list[WrittenEdit]:
    """Read one edit or a list of them; raises ValueError with the path of the field."""
    edits = msgspec.json.decode(raw, type=list[WrittenEdit] | WrittenEdit)
    found = edits if isinstance(edits, list) else [edits]
    for edit in found:
        check_name("$.generation_id", edit.generation_id)
        if edit.at is not None:
            check_time("$.at", edit.at)
    return found


def record_edit(tree: WorkTree, tx: Transaction, edit: WrittenEdit, folder: Path) -> int:
    """Watch what an edit wrote; return how many lines that count it is.

    0 where it wrote none, as one that only removes lines. Raises ValueError where the file has no
    lines to watch, naming it.
    """
    path = tree.inside(edit.file, folder)
    content = tree.content(path)
    if content is None:
        raise Unreadable(f"{path}: is not there")
    told = told_lines(content, edit.text, edit.old_text)
    file, carried = _since(tree, tx, path, line_keys(content), told)
    if edit.text == "" and edit.old_text and told.taken is not None:
        lost = [line.key for line in carried.lost_lines]
        wrote, before = deleted_from(content, carried.inserted, lost, edit.old_text)
        told = ToldLines(wrote, told.taken + before, [])
    at = tree.now if edit.at is None else min(edit.at.timestamp(), tree.now)
    _settle_lost(tx, path, told, carried, at)
    lines, count = _claimed(edit, told, carried)
    save_file(tx, tree.seen(file, lines))
    if count:
        add_written(tx, Written(edit.generation_id, edit.tenant, edit.session_id or "", at, count))
    return count


def _since(
    tree: WorkTree, tx: Transaction, path: str, keys: list[LineKey], told: ToldLines
) -> tuple[WatchedFile, Carried]:
    """Return the file under watch, and what became of it; a new one is compared with HEAD's."""
    for file in files_at(tx, path):
        if file.away:
            continue
        carried = carry(file.lines, keys)
        if tree.follows(file) or not _by_person(told, carried.lost_lines):
            return file, carried
        save_file(tx, replace(file, away=True))
    before = unowned(tree.committed(path, tree.head))
    new = WatchedFile(path=path, lines=(), head=tree.head, moves=len(tree.moves), clean=False)
    return new, carry(before, keys)


def _by_person(told: ToldLines, lost: Sequence[OwnedLine]) -> list[OwnedLine]:
    """Return the lost lines that the edit did not take away."""
    if told.taken is None:
        return []
    taken = Counter(told.taken)
    return [line for line in lost if not take(taken, line.key)]


def take(of: Counter[LineKey], key: LineKey) -> bool:
    """Take one of a key; return whether there was one."""
    if not of[key]:
        return False
    of[key] -= 1
    return True


def _settle_lost(tx: Transaction, path: str, told: ToldLines, carried: Carried, at: float) -> None:
    """Say who took the lost lines away, also those that were missed just before the edit was told."""
    excuse(tx, path, None if told.taken is None else Counter(told.taken), at - SETTLED)
    lost = carried.lost_lines
    by_person = _by_person(told, lost)
    by_agent = Counter(lost) - Counter(by_person)
    add_lost(tx, path, by_person, at, by_agent=False)
    add_lost(tx, path, list(by_agent.elements()), at, by_agent=True)


def excuse(tx: Transaction, path: str, taken: Counter[LineKey] | None, since: float) -> None:
    """Turn lines that a person seemed to take away since into ones that an agent's edit took."""
    rows = tx.execute(
        "SELECT rowid, key FROM lost WHERE path = ? AND at >= ? AND by_agent = 0", (path, since)
    ).fetchall()
    for row, key in rows:
        if taken is None or take(taken, key):
            tx.execute("UPDATE lost SET by_agent = 1 WHERE rowid = ?", (row,))


def _claimed(edit: WrittenEdit, told: ToldLines, carried: Carried) -> tuple[list[OwnedLine], int]:
    """Return the lines with those of the edit as its own, and how many of these count."""
    lines, places = list(carried.lines), sorted(carried.inserted)
    if edit.lines is not None:
        first, last = edit.lines
        places = [at for at in places if first <= at + 1 <= last]
    if told.wrote is not None:
        left = Counter(told.wrote)
        places = [at for at in places if take(left, lines[at].key)]
        if not any(letters_of(lines[at].key) for at in places):
            # It was looked at, or committed, before it was told.
            places = _standing(told.block, lines)
    for at in places:
        lines[at] = OwnedLine(lines[at].key, edit.generation_id)
    return lines, sum(letters_of(lines[at].key) > 0 for at in places)


def _standing(wrote: list[LineKey], lines: list[OwnedLine]) -> list[int]:
    """Return where a text stands as a block that nobody owns: the last such place."""
    for start in range(len(lines) - len(wrote), -1, -1):
        block = lines[start : start + len(wrote)]
        if wrote and all(b.key == w and not b.owner for b, w in zip(block, wrote, strict=True)):
            return list(range(start, start + len(wrote)))
    return []


def drop_oldest(tx: Transaction) -> list[str]:
    """Return the generations beyond MOST_GENERATIONS, oldest first; they are to be forgotten."""
    rows = tx.execute(
        "SELECT generation_id FROM written ORDER BY at DESC, generation_id LIMIT -1 OFFSET ?",
        (MOST_GENERATIONS,),
    ).fetchall()
    return [row[0] for row in reversed(rows)]
