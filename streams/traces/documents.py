"""Documents: the JSON objects of a recorded file, whether it holds lines, one list, or one object."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ..events.limits import check_depth
from .recorded import MalformedRow, OnError, raw_lines, row_name


class Document(NamedTuple):
    """One object of a file."""

    number: int
    """Its line, or its place in a list, from 1."""
    name: str
    """Stays the same however often the file is read."""
    value: dict[str, Any]
    """The object."""


def documents(path: Path, on_error: OnError | None) -> Iterator[Document]:
    """Yield each object of a file: of its lines, of a list, or the whole file as one.

    What is no object is raised as MalformedRow, or given to `on_error` and left out.
    """
    for number, raw in _pieces(path):
        try:
            check_depth(raw)
            value = orjson.loads(raw)
            if not isinstance(value, dict):
                raise ValueError(f"is no object but {type(value).__name__}")
        except ValueError as problem:
            error = MalformedRow(f"{path}:{number}: {problem}")
            if on_error is None:
                raise error from problem
            on_error(error)
            continue
        yield Document(number, row_name(number, raw), value)


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    lines = raw_lines(path)
    number, first = next(lines, (0, b""))
    if not first:
        return
    if first.lstrip()[:1] == b"[" or not _is_json(first):
        whole = _whole(path)
        if isinstance(whole, dict):
            yield 1, orjson.dumps(whole)
            return
        if isinstance(whole, list):
            yield from ((at, orjson.dumps(one)) for at, one in enumerate(whole, start=1))
            return
    yield number, first
    yield from lines


def _whole(path: Path) -> Any:
    """Return what a file is as one piece of JSON; None where it is none."""
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        check_depth(raw)
        return orjson.loads(raw)
    except ValueError:
        return None


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except ValueError:
        return False
    return True
