"""AskedFields: the fields of a request's JSON, read by name and refused by path."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn


class AskedFields:
    """One object of a request. Null counts as left out."""

    def __init__(self, told: Mapping[str, Any], path: str = "") -> None:
        self.told, self.path = told, path

    def place(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise ValueError with the field's path."""
        raise ValueError(f"{self.place(name)}: {why}")

    def get(self, name: str) -> Any:
        """Return a field as it came; None where it is left out."""
        return self.told.get(name)

    def text(self, name: str) -> str:
        """Return a field that must be there, and a string."""
        value = self.told.get(name)
        if not isinstance(value, str):
            self.refuse(name, "must be a string")
        return value

    def fields(self, name: str) -> "AskedFields":
        """Return the object of a field; an empty one where it is left out."""
        value = self.told.get(name)
        if not isinstance(value, Mapping | None):
            self.refuse(name, "must be an object")
        return AskedFields(value or {}, self.place(name))

    def each(self, name: str) -> Iterator["AskedFields"]:
        """Yield the objects of a list; none where it is left out."""
        value = self.told.get(name)
        if not isinstance(value, list | None):
            self.refuse(name, "must be a list")
        for place, one in enumerate(value or ()):
            path = f"{self.place(name)}[{place}]"
            if not isinstance(one, Mapping):
                raise ValueError(f"{path}: must be an object")
            yield AskedFields(one, path)

    def present(self) -> list[str]:
        """Return the names of the fields that are there."""
        return [name for name, value in self.told.items() if value is not None]

    def copied(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of these fields that are there, as they came."""
        return {name: self.told[name] for name in names if self.told.get(name) is not None}
