"""Config copy: a config's text without the secrets that stand in it, and the files that it names."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..anchored import SECRETS
from ..bounds import MARK
from ..config import Config

FOLDER = "config"
"""Of a backup."""
HIDDEN = {*SECRETS, "satisfaction.key", "satisfaction.judge.token"}
KAFKA = "stream.kafka.security"
URL_SECRETS = ("password", "sslpassword", "oauth_client_secret")
KAFKA_SECRETS = ("sasl_plain_password", "ssl_password")
_NAMES = "|".join(sorted({*(key.rpartition(".")[2] for key in HIDDEN), *KAFKA_SECRETS}))
_COMMENTED = re.compile(
    rf"""(^[ \t]*\#.*?\b(?:{_NAMES})[ \t]*=[ \t]*)(?:"(?!["$]|file:)[^"\n]*"|'(?![$']|file:)[^'\n]*')""",
    re.MULTILINE,
)
_IN_URL = re.compile(r"(^[ \t]*#.*?://[^:@/\s]*:)[^@/\s]+(?=@)", re.MULTILINE)
_IN_QUERY = re.compile(rf"""([?&](?:{"|".join(URL_SECRETS)})=)[^&\s"']+""", re.IGNORECASE)


def without_secrets(path: Path) -> str:
    """Return the file's text, each secret in it replaced by a mark; `$NAME` and `file:PATH` stay.

    So is what stands after the name of such a key in a comment: keys that were, or may be again.

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
    text = _IN_URL.sub(rf"\1{MARK}", _COMMENTED.sub(rf'\1"{MARK}"', text))
    return _IN_QUERY.sub(rf"\1{MARK}", text)


def named_files(config: Config) -> dict[str, Path]:
    """Return the files of an operator's own that a config names, by key."""
    named = {
        "reward_spec": config.reward_spec,
        "gate.planted": config.gate.planted,
        "gate.probes": config.gate.probes,
        "learner.drift.probes": config.learner.drift.probes,
        "learner.replay.texts": config.learner.replay.texts,
    }
    return {key: Path(path) for key, path in named.items() if path}


def copied_as(key: str, path: Path) -> str:
    """Return where a backup has a file that the config names.

    >>> copied_as("gate.probes", Path("/etc/rlwd/asked.jsonl"))
    'config/gate.probes/asked.jsonl'
    """
    return f"{FOLDER}/{path.name}" if key == "reward_spec" else f"{FOLDER}/{key}/{path.name}"


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
    # What stands after the ? is found in every URL of the text.
    if "://" in database and (password := urlsplit(database).password):
        yield "database", [(f":{password}@", f":{MARK}@")]


def _at(written: dict[str, Any], key: str) -> Any:
    found: Any = written
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
