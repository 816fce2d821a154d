"""Setting notes: what the config's records say of their own keys: type, default, and the text under each."""

import ast
import inspect
import itertools
import json
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from ..config import Config

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

COPIES = {
    *("gateway.clients", "gateway.privacy"),
    *("gateway.specialists", "gateway.specialists_state"),
}
"""The gateway's own copies of other sections, which are no keys of the file."""


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
    """Return the record of several sections, `[clients.NAME]` or `[[rollout.metric]]`; None for others."""
    place = {dict: 1, tuple: 0}.get(typing.get_origin(kind) or kind)
    value = typing.get_args(kind)[place] if place is not None else None
    return typing.cast(type[msgspec.Struct], value) if is_section(value) else None


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
    r"""Write a value as TOML has it.

    >>> print(toml_value(["caf\u00e9 \U0001f600", "a\x7f\n", 0.5, True]))
    ["café 😀", "a\u007f\n", 0.5, true]
    """
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    if isinstance(value, dict) and not value:
        return "{}"
    if isinstance(value, float) and 1e15 > abs(value) >= 1e-4:
        return repr(value)
    # In letters, not in JSON's pairs of surrogates, which TOML refuses.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
    """Yield every section: its path, its record and its own fields.

    A name of one's own is NAME in the path; that of a list of sections stands in brackets.
    """
    fields = msgspec.structs.fields(kind)
    fields = tuple(f for f in fields if f"{path}.{f.name}" not in COPIES)
    inner = [field for field in fields if is_section(field.type) or named_sections(field.type)]
    yield path, kind, [field for field in fields if field not in inner]
    for field in inner:
        below = f"{path}.{field.name}" if path else field.name
        named = named_sections(field.type)
        if named is not None:
            below = f"{below}.NAME" if typing.get_origin(field.type) is dict else f"[{below}]"
        yield from sections(named or field.type, below)


def every_key() -> dict[str, str]:
    """Return every key by its path, with the text under it; `NAME` stands for a name of one's own."""
    return {
        f"{path}.{field.name}" if path else field.name: field_notes(kind).get(field.name, "")
        for path, kind, fields in sections(Config)
        for field in fields
    }
