"""SQLite problem: what is wrong with a database's file, and what to do about it, in one line."""

import os
import sqlite3
from pathlib import Path

_DAMAGED = "it is damaged or not rlwd's: restore it from a backup"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process holds it: try again",
    sqlite3.SQLITE_LOCKED: "another process holds it: try again",
    sqlite3.SQLITE_FULL: "make room on its disk, then start again",
    sqlite3.SQLITE_IOERR: "look at its disk (`dmesg`), and at the room that is left on it",
    sqlite3.SQLITE_READONLY: "give file and folder to the user of rlwd, or run as their owner",
    sqlite3.SQLITE_PERM: "give file and folder to the user of rlwd, or run as their owner",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


def sqlite_problem(path: Path, problem: sqlite3.Error) -> str:
    """Return one line: the file, what is wrong, what to do."""
    code = _code(problem)
    if code == sqlite3.SQLITE_CANTOPEN:
        return f"{path}: {problem}; {_why_not_opened(path)}"
    return f"{path}: {problem}; {_REMEDIES.get(code, _DAMAGED)}"


def remedy_of(problem: sqlite3.Error) -> str | None:
    """Return what to do about an error of the machine below the database; None where it is none."""
    return _REMEDIES.get(_code(problem))


def is_busy(problem: sqlite3.Error) -> bool:
    """Whether another process held the file, so that it passes by itself."""
    return _code(problem) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(problem: sqlite3.Error) -> bool:
    """Whether the disk has no room for what was to be written."""
    return _code(problem) == sqlite3.SQLITE_FULL


def is_damaged(problem: sqlite3.Error) -> bool:
    """Whether what the file holds is no database that can be read."""
    return _code(problem) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(problem: sqlite3.Error) -> int:
    # The lowest byte is the error, the others say more of it; what Python raises has none.
    return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _why_not_opened(path: Path) -> str:
    if path.is_dir():
        return "it is a folder: move it away"
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        return f"give {path.parent} to the user of rlwd, or run as its owner"
    return _REMEDIES[sqlite3.SQLITE_READONLY]
