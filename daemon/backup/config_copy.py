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
    for key, spellings in _secrets(tomllib.loads(text)):
        if not any(one in text for one, _ in spellings):
            raise ValueError(
                f"{path}: {key} is written with escapes; put it into a file: file:PATH"
            )
        for one, instead in spellings:
            text = text.replace(one, instead)
    return text


def _secrets(written: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each key with the ways in which its secret may stand in the text, and what to put there."""
    security = _at(written, KAFKA) or {}
    given = {key: _at(written, key) for key in sorted(HIDDEN)}
    given |= {f"{KAFKA}.{key}": security.get(key) for key in KAFKA_SECRETS}
    for key, value in given.items():
        if isinstance(value, str) and value and not value.startswith(("$", "file:")):
            # With its quotes: a short one may stand inside other words.
            quoted = (json.dumps(value, ensure_ascii=False), f"'{value}'")
            yield key, [(one, json.dumps(MARK)) for one in quoted]
    database = written.get("database", "")
    if "://" in database and (password := urlsplit(database).password):
        yield "database", [(f":{password}@", f":{MARK}@")]


def _at(written: dict[str, Any], key: str) -> Any:
    found: Any = written
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
