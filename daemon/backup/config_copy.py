"""Config copy: a config's text without the secrets that stand in it."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..anchored import SECRETS

HIDDEN = {*SECRETS, "satisfaction.key", "satisfaction.judge.token"}
KAFKA = "stream.kafka.security"
KAFKA_SECRETS = ("sasl_plain_password", "ssl_password")
MARK = "left-out-of-the-backup"


def without_secrets(path: Path) -> str:
    """Return the file's text, each secret in it replaced by a mark; `$NAME` and `file:PATH` stay.

    Raises ValueError where a secret is written so that it cannot be found again.
    """
    text = path.read_text(encoding="utf-8-sig")
    for key, secret in _secrets(tomllib.loads(text)):
        if secret not in text:
            raise ValueError(
                f"{path}: {key} is written with escapes; put it into a file: file:PATH"
            )
        text = text.replace(secret, MARK)
    return text


def _secrets(written: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in sorted(HIDDEN):
        yield from _literal(key, _at(written, key))
    security = _at(written, KAFKA)
    for key in KAFKA_SECRETS:
        yield from _literal(f"{KAFKA}.{key}", security.get(key) if security else None)
    database = written.get("database", "")
    if "://" in database and (password := urlsplit(database).password):
        yield "database", password


def _literal(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value and not value.startswith(("$", "file:")):
        written = json.dumps(value, ensure_ascii=False)[1:-1]
        yield key, written


def _at(written: dict[str, Any], key: str) -> Any:
    found: Any = written
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
