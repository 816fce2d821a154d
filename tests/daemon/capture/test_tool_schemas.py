"""Tool schemas: what a call must fit, and what a hostile schema cannot do."""

import json
from typing import Any

import pytest

from rlwd.daemon.capture.tool_schemas import ToolSchemas

ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


def offering(parameters: Any, name: str = "add") -> ToolSchemas:
    return ToolSchemas([{"type": "function", "function": {"name": name, "parameters": parameters}}])


@pytest.mark.parametrize(
    ("arguments", "parses", "fits"),
    [
        ('{"a": 1, "b": 2}', True, True),
        ('{"a": 1}', True, False),
        ('{"a": 1, "b": "2"}', True, False),
        ('{"a": 1, "b": 2, "c": 3}', True, False),
        ("[1, 2]", True, False),
        ('{"a": 1, "b": ', False, False),
        ("", False, False),
        ('{"a": NaN, "b": 2}', False, False),
    ],
)
def test_arguments_against_their_schema(arguments: str, parses: bool, fits: bool) -> None:
    """A call fits where its arguments are JSON that the tool's schema takes."""
    call = offering(ADD).check("call-1", "add", arguments)
    assert (call.parses, call.fits, call.invalid) == (parses, fits, not (parses and fits))
    assert call.arguments == arguments


def test_a_tool_that_nobody_offered() -> None:
    """A call of it is invalid, whatever its arguments are."""
    assert offering(ADD).check("c", "subtract", "{}").invalid


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        "no schema",
        {"type": "no such type"},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$schema": "urn:of-my-own"},
        {"$schema": ["x"]},
        {"type": "object", "description": "x" * 200_000},
    ],
)
def test_what_cannot_be_checked_is_unknown(parameters: Any) -> None:
    """Nobody is blamed by a schema that is broken, too long, or not here."""
    call = offering(parameters).check("c", "add", "{}")
    assert call.fits is None
    assert not call.invalid


def bomb(depth: int) -> dict[str, Any]:
    """A schema that doubles its work with every level."""
    levels: dict[str, Any] = {f"l{depth}": {"type": "string"}}
    for n in range(depth):
        levels[f"l{n}"] = {"anyOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2}
    return {"$defs": levels, "$ref": "#/$defs/l0"}


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        (bomb(60), {}),
        ({"type": "array", "uniqueItems": True}, [{"a": n} for n in range(9_000)]),
    ],
)
def test_a_schema_does_not_hold_up_everybody(parameters: Any, value: Any) -> None:
    """A check whose work explodes is given up; without the bound this test would not end."""
    assert offering(parameters).check("c", "add", json.dumps(value)).fits is None


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_expressions_are_not_run(keyword: str) -> None:
    """A regular expression that takes for ever is not looked at; what stands beside it is."""
    evil = "^(a+)+$"
    inner = {"pattern": evil} if keyword == "pattern" else {"patternProperties": {evil: False}}
    schema = {**inner, "required": ["there"], "additionalProperties": False}
    schema["properties"] = {"there": {"type": "string", **inner}}
    tools = offering(schema)
    worst = "a" * 60 + "!"
    assert tools.check("c", "add", json.dumps({"there": worst})).fits is True
    assert tools.check("c", "add", json.dumps({"elsewhere": worst})).fits is False


def test_digests_tell_offers_apart() -> None:
    """The same offer has the same digest in whatever order its keys came; another has another."""
    first, second = offering(ADD), offering(dict(reversed(ADD.items())))
    assert first.offered == second.offered
    assert first.offered[0].name == "add"
    assert len(first.offered[0].digest) == 16
    assert offering({**ADD, "required": ["a"]}).offered != first.offered


@pytest.mark.parametrize("tools", [None, {}, [None, 1, {"function": 3}, {"function": {}}]])
def test_what_is_no_tool_is_left_out(tools: Any) -> None:
    """The engine refuses it in its own words."""
    assert ToolSchemas(tools).offered == ()
