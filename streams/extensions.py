"""Extensions: what other installed distributions add by Python entry points (experimental)."""

from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple


class Extension(NamedTuple):
    """A function that an installed distribution offers."""

    function: Callable[..., Any]
    """The function itself, loaded."""
    distribution: str
    """Name and version of the distribution, for messages and for what is recorded."""


def extension_names(group: str) -> list[str]:
    """Return the names that installed distributions offer in a group, in order."""
    return sorted({point.name for point in entry_points(group=group)})


def refuse_collisions(group: str, built_in: Collection[str]) -> None:
    """Raise ValueError, naming the distribution, where one offers a name that is built in."""
    for point in entry_points(group=group):
        if point.name in built_in:
            raise ValueError(
                f"{group}: {_distribution(point)} offers {point.name!r}, which is built in;"
                " uninstall it, or let it offer another name"
            )


def load_extension(group: str, name: str, setting: str) -> Extension | None:
    """Return what an installed distribution offers under a name; None where none does.

    `setting` is where the name was written, for messages. Raises ValueError, naming the
    distribution, where two offer it, it cannot be loaded, or it is nothing that can be called.
    """
    found = [*entry_points(group=group, name=name)]
    if not found:
        return None
    if len(found) > 1:
        offering = ", ".join(sorted(map(_distribution, found)))
        raise ValueError(f"{setting}: {name!r} is offered by more than one: {offering}")
    (point,) = found
    where = f"{setting}: {name!r} of distribution {_distribution(point)}"
    try:
        function = point.load()
    # Code of another distribution runs here, and may raise anything.
    except Exception as problem:
        raise ValueError(f"{where} cannot be loaded: {problem!r}") from problem
    if not callable(function):
        raise ValueError(f"{where} is {function!r}, which cannot be called")
    return Extension(function, _distribution(point))


def _distribution(point: EntryPoint) -> str:
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"
