"""Line file: what the gate is given to ask about, one JSON object a line."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

Line = TypeVar("Line")


def read_line_file(key: str, path: Path, kind: type[Line]) -> Iterator[tuple[str, Line]]:
    """Yield each line that is not blank, with where it stands: the config's key, the file, the number.

    Raises ValueError with that place where a file or a line cannot be read.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{key}: {path}: {problem}") from problem
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{key}: {path}, line {number}"
            try:
                one = msgspec.json.decode(line, type=kind)
            except msgspec.DecodeError as problem:
                raise ValueError(f"{where}: {problem}") from problem
            yield where, one
