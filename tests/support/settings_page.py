"""Settings page: docs/settings.md, written from the settings' own fields, defaults and docstrings.

Run `PYTHONPATH=tests/support .venv/bin/python -m settings_page` after a change of any setting.
"""

import ast
import inspect
import itertools
import json
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from rlwd.daemon.config import Config

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

HEAD = """\
# Settings
Every key of `rlwd.toml`, its default and what it does. Relative paths are relative to the file's folder. A key that is misspelt, or out of its bounds, stops the start and is named. Written from the code by `tests/support/settings_page.py`; a test holds it up to date.
"""

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def field_notes(kind: type) -> dict[str, str]:
    """Return the docstring under each field of a class, as one line."""
    source = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = typing.cast(ast.ClassDef, source.body[0]).body
    base = kind.__base__
    notes = {}
    if base is not None and issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
        notes = field_notes(base)
    for field, note in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(note, ast.Expr)
            and isinstance(note.value, ast.Constant)
            and isinstance(note.value.value, str)
        ):
            notes[field.target.id] = " ".join(note.value.value.split())
    return notes


def is_section(kind: Any) -> bool:
    """Whether a field's type is a section of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def named_sections(kind: Any) -> type[msgspec.Struct] | None:
    """Return the record of a table of sections, such as `[clients.NAME]`; None for anything else."""
    if typing.get_origin(kind) is dict:
        value = typing.get_args(kind)[1]
        if is_section(value):
            return typing.cast(type[msgspec.Struct], value)
    return None


def type_name(kind: Any) -> str:
    """Name a field's type in TOML's words, with its bounds."""
    if typing.get_origin(kind) is typing.Annotated:
        base, *notes = typing.get_args(kind)
        bounds = [
            f"{sign} {getattr(note, name):g}"
            for note in notes
            if isinstance(note, msgspec.Meta)
            for name, sign in _BOUNDS.items()
            if getattr(note, name) is not None
        ]
        return ", ".join([type_name(base), *bounds])
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{value!r}`".replace("'", '"') for value in inside)
    if origin in (tuple, list):
        return f"list of {type_name(inside[0])}"
    if origin is dict:
        return f"table of {type_name(inside[1])}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_name(one) for one in inside if one is not type(None))
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def toml_value(value: Any) -> str:
    """Write a default as TOML has it."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    if isinstance(value, dict) and not value:
        return "{}"
    if isinstance(value, float) and 1e15 > abs(value) >= 1e-4:
        return repr(value)
    return json.dumps(value)


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """Return a field's default as TOML, which has no null, or `required`."""
    if field.default is None:
        return "left out"
    if field.default is not msgspec.NODEFAULT:
        return f"`{toml_value(field.default)}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{toml_value(field.default_factory())}`"
    return "required"


def sections(kind: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, type, list[Any]]]:
    """Yield every section: its path, its record and its own fields."""
    fields = msgspec.structs.fields(kind)
    # The gateway's own copy of [clients] is no key of the file.
    fields = tuple(f for f in fields if (path, f.name) != ("gateway", "clients"))
    inner = [field for field in fields if is_section(field.type) or named_sections(field.type)]
    yield path, kind, [field for field in fields if field not in inner]
    for field in inner:
        below = f"{path}.{field.name}" if path else field.name
        named = named_sections(field.type)
        yield from sections(named or field.type, f"{below}.NAME" if named else below)


def settings_page() -> str:
    """Return the page."""
    lines = [HEAD]
    for path, kind, fields in sections(Config):
        lines.append(f"## `[{path}]`" if path else "## Top of the file")
        lines += [" ".join((inspect.getdoc(kind) or "").split()), ""]
        notes = field_notes(kind)
        if fields:
            lines += ["| key | type | default | what it does |", "| --- | --- | --- | --- |"]
        for field in fields:
            note = notes.get(field.name, "").replace("|", "\\|")
            kind_name = type_name(field.type).replace("|", "\\|")
            lines.append(f"| `{field.name}` | {kind_name} | {default_of(field)} | {note} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def every_key() -> dict[str, str]:
    """Return every key by its path, with the text under it; `NAME` stands for a name of one's own."""
    return {
        f"{path}.{field.name}" if path else field.name: field_notes(kind).get(field.name, "")
        for path, kind, fields in sections(Config)
        for field in fields
    }


if __name__ == "__main__":
    PAGE.write_text(settings_page())
    print(f"{PAGE}: {len(every_key())} keys")
