"""Entry tree: a session file in which each line names the line that it follows.

Going back in a conversation and asking again makes a branch; what an answer was given to is the way
from it up to the root.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from .messages import Message


@dataclass(slots=True)
class EntryTree:
    """The entries of one file."""

    parents: dict[str, str | None] = field(default_factory=dict)
    """Each entry's parent; None for a root, and for one whose parent is not in the file."""
    said: dict[str, list[Message]] = field(default_factory=dict)
    """What each entry says."""
    answers: dict[str, str] = field(default_factory=dict)
    """Entries that are an answer, or a part of one, with the generation's id."""

    def add(self, id: str, parent: str | None, said: list[Message], answer: str = "") -> None:
        """Add an entry. Raises ValueError where there is one of this id, or of no id."""
        if not id:
            raise ValueError("an entry has no id")
        if id in self.parents:
            raise ValueError(f"id {id!r} stands there twice")
        self.parents[id], self.said[id] = parent, said
        if answer:
            self.answers[id] = answer

    def before(self, id: str) -> tuple[list[Message], str | None]:
        """Return what was said before an entry, oldest first, and the answer that it goes on from."""
        way: list[str] = []
        seen = {id}
        at = self.parents.get(id)
        while at is not None and at in self.parents and at not in seen:
            seen.add(at)
            way.append(at)
            at = self.parents[at]
        own = self.answers.get(id)
        earlier = next(
            (self.answers[one] for one in way if self.answers.get(one, own) != own), None
        )
        return self._messages(reversed(way)), earlier

    def _messages(self, way: Iterable[str]) -> list[Message]:
        """Return what entries say, the parts of one answer as one message."""
        found: list[Message] = []
        for answer, entries in groupby(way, key=lambda one: self.answers.get(one, "")):
            said = [message for one in entries for message in self.said[one]]
            found += [joined(said)] if answer else said
        return found


def joined(parts: list[Message]) -> Message:
    """Return the one answer whose parts stand in several entries."""
    texts = [part.text for part in parts if part.text]
    thoughts = [part.reasoning for part in parts if part.reasoning]
    return Message(
        "assistant",
        "\n".join(texts),
        "\n".join(thoughts),
        tuple(call for part in parts for call in part.calls),
        attachments=sum(part.attachments for part in parts),
    )


def first_text(value: Mapping[str, object], *names: str) -> str:
    """Return the first of these fields that is a text with something in it."""
    for name in names:
        found = value.get(name)
        if isinstance(found, str) and found:
            return found
    return ""
