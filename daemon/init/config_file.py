"""Config file: the text of a whole rlwd.toml, every key with what its own record says of it."""

import inspect
import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..config import Config
from ..number_bounds import NUMBERS
from .setting_notes import default_of, field_notes, sections, toml_value

WIDTH = 100
HEAD = """\
# rlwd: one file for daemon and gateways. Relative paths are relative to this file.
# Every key is here. A line like `#key = value` shows the default, and is to be left so unless you
# decide otherwise: what stands in comments follows the defaults of later versions.
# A secret may be "$NAME" of an environment variable, or "file:PATH" of a file that holds it alone.
# `rlwd doctor` checks this file and what it names. docs/settings.md has the same keys as tables.
"""
SHIPPED: Mapping[str, Any] = MappingProxyType(
    {
        "state": "/var/lib/rlwd",
        "stream.kafka.group_instance_id": "rlwd-0",
        "learner.model": "/var/lib/rlwd/models/base",
    }
)
"""What a deployment with the shipped units decides; ops/deploy/rlwd.toml is written with it."""
LEFT_OUT = "left out"


def config_text(chosen: Mapping[str, Any], why: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a config with every key: those of `chosen` as they are to be, all others as comments.

    `why` says of a key what was found. Raises ValueError where a chosen key is none.
    """
    lines, known = [HEAD.rstrip()], set[str]()
    for path, kind, fields in sections(Config):
        optional = "#" if path.endswith((".NAME", "]")) else ""
        notes = field_notes(kind)
        if path:
            doc = " ".join((inspect.getdoc(kind) or "").split())
            lines += ["", *_comment(doc, "##"), f"{optional}[{path}]"]
        for field in fields:
            key = f"{path}.{field.name}" if path else field.name
            known.add(key)
            lines += _comment(_explained(key, notes.get(field.name, "")), "##")
            if found := why.get(key):
                lines += _comment(found, "##")
            lines.append(_line(key, field.name, default_of(field).strip("`"), chosen))
    if unknown := sorted(set(chosen) - known):
        raise ValueError(f"{unknown[0]}: no key of the config")
    return "\n".join(lines) + "\n"


def _line(key: str, name: str, default: str, chosen: Mapping[str, Any]) -> str:
    if key in chosen:
        return f"{name} = {toml_value(chosen[key])}"
    if default == LEFT_OUT:
        return f"#{name} =  # left out by default"
    return f"#{name} = {default}" if default != "required" else f"#{name} = []  # required"


def _explained(key: str, note: str) -> str:
    if key not in NUMBERS:
        return note
    least, most = NUMBERS[key]
    return f"{note} From {_number(least)} to {_number(most)}."


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:g}"


def _comment(text: str, mark: str) -> list[str]:
    return [
        f"{mark} {line}"
        for line in textwrap.wrap(
            text, WIDTH - len(mark) - 1, break_long_words=False, break_on_hyphens=False
        )
    ]
