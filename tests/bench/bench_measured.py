"""Measured parts: what each part of the bench gave and where, kept in a file from one run to the next.

A part is measured whole or not at all, so parts of several runs may stand in one table: what is
compared with each other was measured side by side. The file is written after each part, so a bench that
is broken off keeps what it has.
"""

import contextlib
import fcntl
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from bench_table import HEADER, Line

FORMAT = "rlwd bench 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one part gave."""

    machine: str
    """What it ran on, when, and how busy that was; or whose earlier run was read."""
    lines: tuple[Line, ...]
    """Its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    format: str
    parts: dict[str, Measured]


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Let no other bench change this file between what is read of it and what is written to it.

    Its folder is what is locked: the file is another one after each writing.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def read_measured(path: Path) -> dict[str, Measured]:
    """Return the kept parts by name; none where there is no file yet.

    Raises ValueError, with the file's name, where it is no file of a bench.
    """
    if not path.exists():
        return {}
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.DecodeError as problem:
        raise ValueError(f"{path}: no results of a bench: {problem}") from problem
    if file.format != FORMAT:
        raise ValueError(f"{path}: format: is {file.format!r} and not {FORMAT!r}")
    return file.parts


def write_measured(path: Path, parts: Mapping[str, Measured]) -> None:
    """Replace the file in one step.

    Raises ValueError, and leaves the file as it was, where a row could not be read or shown again: its
    sides have different numbers of rounds, or one of them gave no number.
    """
    for name, one in parts.items():
        for line in one.lines:
            if not all(map(math.isfinite, (*line.ours, *line.theirs))):
                raise ValueError(f"{path}: {name}: {line.what}: a round is no number")
            line.cells()
    raw = msgspec.json.encode(_File(format=FORMAT, parts=dict(parts)))
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(msgspec.json.format(raw, indent=1) + b"\n")
    os.replace(partial, path)


def markdown_table(parts: Mapping[str, Measured]) -> str:
    """Return the table for docs/bench.md, with a line for each machine and day that says what was measured there."""
    rows = [HEADER, ("---",) * len(HEADER)]
    rows += [line.cells() for one in parts.values() for line in one.lines]
    rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    where: dict[str, list[str]] = {}
    for name, one in parts.items():
        where.setdefault(one.machine, []).append(name)
    places = "\n".join(f"- {', '.join(names)}: {machine}" for machine, names in where.items())
    return (
        f"{body}\n\nThe two sides of a row took turns in one run; medians over the rounds."
        f" Where and when each part was measured:\n{places}\n"
    )
