"""Recorded files that are damaged: whatever a row holds, it is read or named, and never ends a replay."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trace_cases import CASES, FILES

from rlwd.streams.events.event import decode_event, encode_event
from rlwd.streams.readers.formats import MalformedRow, trace_format

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "id"]), inner)
    ),
    max_leaves=6,
)


def rows_of(file: str) -> list[Any]:
    whole = (CASES / file).read_text()
    return (
        [json.loads(whole)] if file.endswith(".json") else list(map(json.loads, whole.splitlines()))
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@pytest.mark.parametrize("format", FILES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_named(
    tmp_path: Path, format: str, data: st.DataObject
) -> None:
    """One value of a good file is exchanged for any other: no error but a named row, all events valid."""
    rows = copy.deepcopy(rows_of(FILES[format]))
    place = data.draw(st.sampled_from(places(rows)[1:]))
    at: Any = rows
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = data.draw(VALUES)
    path = tmp_path / "damaged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bad: list[MalformedRow] = []
    for event in trace_format(format)(path, on_error=bad.append):
        assert decode_event(encode_event(event)) == event
    assert all(str(one).startswith(f"{path}:") for one in bad)


def kinds(rows: list[Any]) -> list[tuple[Any, ...]]:
    """Return one place of each kind: the same fields of two rows, or of two entries, are one."""
    first = dict[tuple[Any, ...], tuple[Any, ...]]()
    for place in places(rows)[1:]:
        at, kind = rows, list[Any]()
        for key in place:
            # Entries with a role or a type of their own are read by ways of their own.
            named = at[key] if isinstance(at, list) and isinstance(at[key], dict) else {}
            said = [str(named[one]) for one in ("role", "type", "event_type") if one in named]
            kind.append(tuple(said) if isinstance(at, list) else key)
            at = at[key]
        first.setdefault(tuple(kind), place)
    return list(first.values())


DEEP: list[Any] = [json.loads("[" * 300 + "]" * 300), '{"a":' * 300 + "1" + "}" * 300]


@pytest.mark.parametrize("deep", DEEP, ids=["lists", "objects as a text"])
@pytest.mark.parametrize("format", FILES)
def test_what_can_be_read_and_not_written_is_named(tmp_path: Path, format: str, deep: Any) -> None:
    """300 levels in any kind of place, plain or as JSON in a text: the rest is read, and no replay ends."""
    rows = rows_of(FILES[format])
    path = tmp_path / "deep.jsonl"
    for place in kinds(rows):
        damaged = copy.deepcopy(rows)
        at: Any = damaged
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = deep
        path.write_text("".join(json.dumps(row) + "\n" for row in damaged))
        bad: list[MalformedRow] = []
        for event in trace_format(format)(path, on_error=bad.append):
            assert decode_event(encode_event(event)) == event
        assert bad or isinstance(deep, str)


@pytest.mark.parametrize("format", FILES)
def test_a_row_that_nests_without_end_is_named(tmp_path: Path, format: str) -> None:
    """Deeper than any record may be, it is one bad row."""
    path = tmp_path / "deep.jsonl"
    path.write_text('{"a": ' + "[" * 3000 + "]" * 3000 + "}\n")
    bad: list[MalformedRow] = []
    assert list(trace_format(format)(path, on_error=bad.append)) == []
    assert len(bad) == 1
    assert "nests deeper" in str(bad[0])
