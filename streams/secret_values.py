"""Secrets of the config: given as they are, by an environment variable, or by a file."""

import os
from pathlib import Path

FILE = "file:"


def read_secret(key: str, value: str) -> str:
    """Return what a value stands for: `$NAME` a variable, `file:PATH` a file that holds it alone.

    A path may begin with a variable, as `file:$CREDENTIALS_DIRECTORY/token` does under systemd.
    Raises ValueError with the key, and never with what was read.
    """
    if not value.startswith(FILE):
        held = _variable(key, value[1:]) if value.startswith("$") else value
        if not held.isprintable():
            raise ValueError(f"{key}: is not one line of text")
        return held
    path = _path(key, value.removeprefix(FILE))
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "is not UTF-8"
        raise ValueError(f"{key}: {path}: {why}") from None
    if not secret or not secret.isprintable():
        raise ValueError(f"{key}: {path}: does not hold one line of text")
    return secret


def anchored(value: str, folder: Path) -> str:
    """Return the value with a relative path of a file made absolute."""
    path = value.removeprefix(FILE)
    if path == value or path.startswith("$"):
        return value
    return f"{FILE}{folder / path}"


def _path(key: str, path: str) -> Path:
    if not path.startswith("$"):
        return Path(path)
    name, _, rest = path[1:].partition("/")
    return Path(_variable(key, name)) / rest


def _variable(key: str, name: str) -> str:
    if not os.environ.get(name):
        raise ValueError(f"{key}: environment variable {name} is not set")
    return os.environ[name]
