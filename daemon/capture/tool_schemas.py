"""ToolSchemas: the tools that a request offers, and whether the calls of an answer fit them.

A schema is a caller's, and everybody's answers wait while one is checked. So the work of a check is
counted and bounded, nothing is fetched from anywhere, and what could take long by itself is not looked
at: regular expressions, and properties that are known only after all others were evaluated.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

from ...streams.events.tool_use import MOST_TOOLS, OfferedTool, ToolCall, tool_digest
from .names import as_name

MOST_STEPS = 20_000
"""Keywords that one check looks at; some 10 microseconds each."""
LONGEST = 100_000
"""Bytes of a schema or of arguments that are checked."""
UNCHECKED = ("pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems")
"""Keywords that are taken as fulfilled."""

_steps = threading.local()


class _TooMuchWork(Exception):
    """The check was given up."""


class ToolSchemas:
    """The tools of one request, by name."""

    def __init__(self, tools: Any) -> None:
        self.offered: tuple[OfferedTool, ...] = ()
        """Name and digest of each, in the order of the request."""
        self._schemas: dict[str, bytes] = {}
        found = list[OfferedTool]()
        for tool in tools[:MOST_TOOLS] if isinstance(tools, list) else ():
            function = tool.get("function") if isinstance(tool, Mapping) else None
            name = function.get("name") if isinstance(function, Mapping) else None
            if isinstance(function, Mapping) and isinstance(name, str) and name:
                name = as_name(name)
                found.append(OfferedTool(name=name, digest=tool_digest(tool)))
                self._schemas[name] = _schema(function.get("parameters"))
        self.offered = tuple(found)

    def check(self, call_id: str, name: str, arguments: str) -> ToolCall:
        """Return a call as the record has it: whether it parses, and whether it fits."""
        parses, value = True, None
        try:
            value = orjson.loads(arguments)
        except ValueError:
            parses = False
        fits: bool | None = False
        if parses and name in self._schemas:
            schema = self._schemas[name]
            checked = schema and len(arguments) <= LONGEST
            fits = _fits(schema, value) if checked else None
        return ToolCall(id=call_id, name=name, arguments=arguments, parses=parses, fits=fits)


def _schema(parameters: Any) -> bytes:
    """Return a schema as JSON; empty where there is none, or one too long to be checked."""
    if not isinstance(parameters, Mapping):
        return b""
    try:
        written = orjson.dumps(parameters)
    except TypeError:
        return b""
    return written if len(written) <= LONGEST else b""


def _fits(schema: bytes, value: Any) -> bool | None:
    checker = _checker(schema)
    return None if checker is None else _bounded(lambda: checker.is_valid(value))


@lru_cache(maxsize=512)
def _checker(schema: bytes) -> Any:
    """Return what checks arguments by a schema; None where it is no schema that we can check."""
    document = orjson.loads(schema)
    kind = _CHECKERS.get(str(document.get("$schema", _NEWEST)))
    if kind is None or not _bounded(
        lambda: kind(kind.META_SCHEMA, registry=REGISTRY).is_valid(document)
    ):
        return None
    return kind(document, registry=REGISTRY)


def _bounded(check: Callable[[], bool]) -> bool | None:
    """Return what a check says; None where it is given up."""
    _steps.left = MOST_STEPS
    try:
        return check()
    # A reference that leads nowhere, or to itself; a number that is none to calculate with.
    except (_TooMuchWork, Unresolvable, RecursionError, ArithmeticError, ValueError):
        return None


def _counted(keyword: str, function: Any) -> Any:
    """Return a keyword's function that counts what it costs."""

    def count(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        # Whether items are unique is found by comparing each with each.
        pairs = keyword == "uniqueItems" and isinstance(instance, list)
        _steps.left -= len(instance) ** 2 // 100 + 1 if pairs else 1
        if _steps.left < 0:
            raise _TooMuchWork
        if keyword == "additionalProperties" and "patternProperties" in schema:
            return
        yield from function(validator, value, instance, schema) or ()

    return count


def _nothing(*_: Any) -> tuple[()]:
    return ()


def _bound(kind: Any) -> Any:
    counted = {name: _counted(name, function) for name, function in kind.VALIDATORS.items()}
    bound: Any = extend(kind, counted | dict.fromkeys(UNCHECKED, _nothing))  # type: ignore[no-untyped-call]
    return bound


_NEWEST = "https://json-schema.org/draft/2020-12/schema"
_CHECKERS = {
    _NEWEST: _bound(Draft202012Validator),
    "https://json-schema.org/draft/2019-09/schema": _bound(Draft201909Validator),
    "http://json-schema.org/draft-07/schema#": _bound(Draft7Validator),
    "http://json-schema.org/draft-07/schema": _bound(Draft7Validator),
}
