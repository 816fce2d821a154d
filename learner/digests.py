"""Digests: SHA-256 of files, and of a version's adapter."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""The files of a version's folder, in order of name."""


def adapter_digest(folder: Path) -> str:
    """SHA-256, hex, of a version: over its two adapter files, wherever the folder lies.

    Hashed are lines of file name, space, SHA-256 hex of the file, newline, in order of name.
    Raises OSError where a file is missing.
    """
    return files_digest(folder / name for name in ADAPTER_FILES)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256, hex, over the lines `name digest` of the files, by name."""
    lines = (f"{path.name} {file_digest(path)}\n" for path in sorted(paths, key=lambda p: p.name))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
