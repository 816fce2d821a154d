"""Keep state: what a work tree's watch remembers, in one small SQLite file inside its git folder.

Digests of lines and never the lines themselves. Every step is one transaction, so that a hook and a
watch may run side by side and both may be killed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import orjson

from ...streams.state.sqlite import SqliteStore
from ...streams.state.transaction import Transaction
from .line_keys import KEY_BYTES
from .owned_lines import OwnedLine

FILE_NAME = "rlwd-keep.db"
MOST_GENERATIONS = 20_000
"""Most generations under watch; beyond them the oldest are given up and counted."""

_TABLES = """
CREATE TABLE written (generation_id TEXT PRIMARY KEY, tenant TEXT NOT NULL,
    session_id TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, lines INTEGER NOT NULL);
CREATE INDEX written_at ON written (at);
CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL, keys BLOB NOT NULL,
    owners BLOB NOT NULL, head TEXT NOT NULL, moves INTEGER NOT NULL, clean INTEGER NOT NULL,
    away INTEGER NOT NULL, stamp TEXT NOT NULL);
CREATE INDEX files_path ON files (path);
CREATE TABLE lost (generation_id TEXT NOT NULL, path TEXT NOT NULL, key BLOB NOT NULL,
    at DOUBLE PRECISION NOT NULL, by_agent INTEGER NOT NULL);
CREATE INDEX lost_generation ON lost (generation_id);
CREATE INDEX lost_path ON lost (path);
CREATE TABLE measured (generation_id TEXT NOT NULL, horizon DOUBLE PRECISION NOT NULL,
    said TEXT NOT NULL, PRIMARY KEY (generation_id, horizon));
CREATE TABLE outbox (feedback_id TEXT PRIMARY KEY, body BLOB NOT NULL,
    made DOUBLE PRECISION NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)
"""
MIGRATIONS = {"keep": (_TABLES,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFile:
    """A file with lines that a generation wrote, as it was when it was last seen."""

    id: int = 0
    """Its row; 0 where it has none yet."""
    path: str
    """Where it was, from the top of the work tree."""
    lines: tuple[OwnedLine, ...]
    """Its lines."""
    head: str
    """Where HEAD stood."""
    moves: int
    """How many entries the reflog had."""
    clean: bool
    """Whether HEAD had it just so."""
    away: bool = False
    """Whether it is gone, or its lines are out of sight on another line of history."""
    stamp: str = ""
    """Time and size of the file, by which an untouched one is known."""

    @property
    def owners(self) -> set[str]:
        """The generations that own lines here."""
        return {line.owner for line in self.lines if line.owner}


class Written(NamedTuple):
    """A generation whose lines are watched."""

    generation_id: str
    """Its id."""
    tenant: str
    """Whose it is; empty for the token's own."""
    session_id: str
    """Its session, for ids that no gateway gave out."""
    at: float
    """When its first edit was written, epoch seconds; horizons run from here."""
    lines: int
    """How many lines that count it wrote."""


def open_state(git_dir: Path) -> SqliteStore:
    """Open the state of a work tree, and make it where it is not there."""
    return SqliteStore(git_dir / FILE_NAME, MIGRATIONS)


def add_written(tx: Transaction, written: Written) -> None:
    """Note lines of a generation; its horizons run from the first of them."""
    tx.execute(
        "INSERT INTO written VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (generation_id) DO UPDATE SET lines = lines + excluded.lines",
        tuple(written),
    )


def all_written(view: Transaction) -> list[Written]:
    """Return the generations under watch, oldest first."""
    rows = view.execute(
        "SELECT generation_id, tenant, session_id, at, lines FROM written ORDER BY at, generation_id"
    ).fetchall()
    return [Written(*row) for row in rows]


def is_written(view: Transaction, generation_id: str) -> bool:
    """Return whether a generation is under watch."""
    found = view.execute("SELECT 1 FROM written WHERE generation_id = ?", (generation_id,))
    return found.fetchone() is not None


class Glance(NamedTuple):
    """What tells whether a file has to be read again."""

    id: int
    """Its row."""
    path: str
    """Where it was."""
    moves: int
    """How many entries the reflog had."""
    away: bool
    """Whether it was out of sight."""
    stamp: str
    """Time and size of the file."""


def glances(view: Transaction) -> list[Glance]:
    """Return what is known of each file at a glance."""
    rows = view.execute("SELECT id, path, moves, away, stamp FROM files ORDER BY id").fetchall()
    return [Glance(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]


def watched_file(view: Transaction, id: int) -> WatchedFile:
    """Return one file under watch."""
    return _files(view, "id = ?", id)[0]


def files_at(view: Transaction, path: str) -> list[WatchedFile]:
    """Return what stood at a path: at most one in sight, and any that are away."""
    return _files(view, "path = ?", path)


def files_of(view: Transaction, generation_id: str) -> list[WatchedFile]:
    """Return the files in which a generation has lines."""
    name = orjson.dumps(generation_id).decode()
    return _files(view, "instr(CAST(owners AS TEXT), ?) > 0", name)


def _files(view: Transaction, where: str, value: object) -> list[WatchedFile]:
    rows = view.execute(
        "SELECT id, path, keys, owners, head, moves, clean, away, stamp FROM files"
        f" WHERE {where} ORDER BY id",
        (value,),
    ).fetchall()
    return [
        WatchedFile(
            id=row[0],
            path=row[1],
            lines=_unpacked(row[2], row[3]),
            head=row[4],
            moves=row[5],
            clean=bool(row[6]),
            away=bool(row[7]),
            stamp=row[8],
        )
        for row in rows
    ]


def save_file(tx: Transaction, file: WatchedFile) -> None:
    """Write a file's row; one without a line that anybody owns is forgotten."""
    if file.id:
        tx.execute("DELETE FROM files WHERE id = ?", (file.id,))
    if not file.owners:
        return
    keys, owners = _packed(file.lines)
    tx.execute(
        "INSERT INTO files (path, keys, owners, head, moves, clean, away, stamp)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(file.path, keys, owners, file.head, file.moves),
            *(int(file.clean), int(file.away), file.stamp),
        ),
    )


def add_lost(
    tx: Transaction, path: str, lines: Sequence[OwnedLine], at: float, *, by_agent: bool
) -> None:
    """Note lines that are gone, and whether an agent took them away."""
    for line in lines:
        tx.execute(
            "INSERT INTO lost VALUES (?, ?, ?, ?, ?)",
            (line.owner, path, line.key, at, int(by_agent)),
        )


def forget(tx: Transaction, generations: set[str]) -> None:
    """Forget all there is about some generations but what waits to be posted."""
    for name in generations:
        for table in ("written", "lost", "measured"):
            tx.execute(f"DELETE FROM {table} WHERE generation_id = ?", (name,))
        for file in files_of(tx, name):
            lines = [OwnedLine(k, "" if o == name else o) for k, o in file.lines]
            save_file(tx, replace(file, lines=tuple(lines)))


def note(view: Transaction, name: str) -> str | None:
    """Return a value that was noted."""
    row = view.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def write_note(tx: Transaction, name: str, value: str) -> None:
    """Note a value under a name."""
    tx.execute(
        "INSERT INTO notes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def _packed(lines: Sequence[OwnedLine]) -> tuple[bytes, bytes]:
    names = sorted({line.owner for line in lines})
    number = {name: index for index, name in enumerate(names)}
    runs: list[list[int]] = []
    for line in lines:
        if runs and runs[-1][0] == number[line.owner]:
            runs[-1][1] += 1
        else:
            runs.append([number[line.owner], 1])
    return b"".join(line.key for line in lines), orjson.dumps([names, runs])


def _unpacked(keys: bytes, owners: bytes) -> tuple[OwnedLine, ...]:
    names, runs = orjson.loads(owners)
    of = [names[index] for index, count in runs for _ in range(count)]
    return tuple(
        OwnedLine(keys[at * KEY_BYTES : (at + 1) * KEY_BYTES], owner) for at, owner in enumerate(of)
    )
