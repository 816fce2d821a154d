"""Exception text: what a log may say of an exception, which may quote what people wrote.

A KeyError is the key that was missing, and a ValueError quotes what could not be read: of these the
log has the type and where it was raised, and not the words. What systems say of themselves (a
connection, a disk, a database) it has in full.
"""

import traceback
from collections.abc import Iterator

QUOTING: tuple[type[BaseException], ...] = (KeyError, ValueError)
"""These quote what they were given."""
QUOTING_MODULES = frozenset(("jsonschema", "msgspec", "orjson", "pydantic", "pydantic_core"))
"""So do the errors of these."""
WITHHELD = "(its words may be somebody's)"
DEEPEST = 8
"""Most causes of one exception that are told."""


def exception_said(error: BaseException) -> str:
    """Return an exception's type, and its words where they are no person's.

    >>> exception_said(ConnectionError("engine:8000 is away")), exception_said(KeyError("my secret"))
    ('ConnectionError: engine:8000 is away', "KeyError (its words may be somebody's)")
    """
    name, said = type(error).__name__, str(error)
    if may_quote(error):
        return f"{name} {WITHHELD}"
    return f"{name}: {said}" if said else name


def may_quote(error: BaseException) -> bool:
    """Return whether an exception's words may be what a person or a model wrote."""
    module = type(error).__module__.partition(".")[0]
    return isinstance(error, QUOTING) or module in QUOTING_MODULES


def exception_trace(error: BaseException) -> str:
    """Return a stack trace, with those of what caused it first, as Python prints them."""
    told = []
    for one in reversed(list(_with_causes(error))):
        stack = "".join(traceback.format_tb(one.__traceback__))
        told.append(f"Traceback (most recent call last):\n{stack}{exception_said(one)}")
    return "\n\nThen, or because of that:\n\n".join(told)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen and len(seen) < DEEPEST:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
