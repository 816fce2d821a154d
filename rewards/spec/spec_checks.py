"""Spec checks: what a reward spec's keys must hold, and errors that name the key at fault."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, get_args, get_origin

import msgspec

from ...streams.events.signals import SIGNALS

MOST = 1e9
"""Bounds of a range, and seconds, are not beyond this: what is added up would be lost in them."""

KINDS = tuple(str(kind.__struct_config__.tag) for kind in SIGNALS)


def check_interval(key: str, interval: tuple[float, float]) -> None:
    """Refuse what is no interval from a lower to a higher finite number."""
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{key}: [{low:g}, {high:g}] does not go from a lower to a higher number")


def check_range(key: str, interval: tuple[float, float]) -> None:
    """Refuse a range in which a reward would be lost: too wide, or too narrow."""
    check_interval(key, interval)
    low, high = interval
    if max(abs(low), abs(high)) > MOST or high - low < 1 / MOST:
        raise ValueError(f"{key}: [{low:g}, {high:g}] is beyond {MOST:g}, or too narrow")


def check_seconds(key: str, given: Mapping[str, float]) -> None:
    """Refuse seconds that are no finite number, or beyond what any time is."""
    for name, seconds in given.items():
        check_finite_seconds(f"{key}.{name}", seconds)


def check_finite_seconds(key: str, seconds: float) -> None:
    """Refuse a number of seconds that is not finite, or above `MOST`: thirty years."""
    if not math.isfinite(seconds):
        raise ValueError(f"{key}: must be a finite number, not {seconds}")
    if seconds > MOST:
        raise ValueError(f"{key}: is {seconds:g} s; the most is {MOST:g}")


def check_kinds(key: str, given: Iterable[str]) -> None:
    """Refuse what is no kind of signal."""
    for kind in given:
        if kind not in KINDS:
            raise ValueError(f"{key}: {kind!r} is no signal; known: {', '.join(KINDS)}")


def check_said(name: str, kinds: Collection[str]) -> None:
    """Refuse a name that no version can show, and that nothing decides."""
    if not name.strip() or not name.isprintable():
        raise ValueError(f"$.name: {name!r} cannot be read in a version")
    if not kinds:
        raise ValueError("$.decisive: is empty; no answer would ever have a reward")


def check_names(parts: Collection[str], costs: Collection[str], taken: str) -> None:
    """Refuse a spec without parts, and names that nobody can read, that are `taken`, or given twice."""
    if not parts:
        raise ValueError("$.parts: a spec needs at least one part")
    if taken in parts:
        raise ValueError(f"$.parts.{taken}: the name is taken; give another, and `of`")
    for key, names in (("parts", parts), ("costs", costs)):
        for name in names:
            if not name.strip() or not name.isprintable():
                raise ValueError(f"$.{key}: {name!r} cannot be read in a table")
    for name in costs:
        if name in parts or name == taken:
            raise ValueError(f"$.costs.{name}: a cost needs a name of its own")


def check_entries(document: Mapping[str, Any], kind: type[msgspec.Struct]) -> None:
    """Refuse a key that there is not, and a wrong entry of a table, where msgspec says too little.

    Raises ValueError: `Expected `float` >= 0.0 - at `$.parts.kept``.
    """
    fields = msgspec.structs.fields(kind)
    known = [field.encode_name for field in fields]
    for name in document:
        if name not in known:
            raise ValueError(
                f"Object contains unknown field `{name}` - at `$`; known: {', '.join(known)}"
            )
    for field in fields:
        entries = document.get(field.encode_name)
        if get_origin(field.type) is not dict or not isinstance(entries, Mapping):
            continue
        for name, value in entries.items():
            try:
                msgspec.convert(value, get_args(field.type)[1])
            except msgspec.ValidationError as problem:
                told, at, path = str(problem).partition(" - at `$")
                where = f"{told} - at `$.{field.encode_name}.{name}"
                raise ValueError(where + (path if at else "`")) from problem
