"""Entry tree: a session file in which each line names the line that it follows.

Going back in a conversation and asking again makes a branch; what an answer was given to is the way
from it up to the root.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .messages import Message
from .spoken import Spoken


@dataclass(slots=True)
class EntryTree:
    """The entries of one file."""

    parents: dict[str, str | None] = field(default_factory=dict)
    """Each entry's parent; None for a root, and for one whose parent is not in the file."""
    said: dict[str, list[Message]] = field(default_factory=dict)
    """What each entry says."""
    answers: dict[str, str] = field(default_factory=dict)
    """Entries that are an answer, or a part of one, with the generation's id."""
    parts: dict[str, list[Message]] = field(default_factory=dict)
    """The parts of each answer, in the order of the file."""
    _first: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, id: str, parent: str | None, said: list[Message], answer: str = "") -> None:
        """Add an entry. Raises ValueError where there is one of this id, or of no id."""
        if not id:
            raise ValueError("an entry has no id")
        if id in self.parents:
            raise ValueError(f"id {id!r} stands there twice")
        self.parents[id], self.said[id] = parent, said
        if answer:
            self.answers[id] = answer
            self._first.setdefault(answer, id)
            self.parts.setdefault(answer, []).extend(said)

    def before(self, id: str) -> tuple[Spoken, str | None]:
        """Return what was said before an entry, and the answer that it goes on from."""
        way, earlier = self._since(id)
        since = [message for one in reversed(way) for message in self.said[one]]
        if earlier is None:
            return Spoken(since), None
        return Spoken(since, self._count(earlier), joined(self.parts[earlier]).text), earlier

    def _since(self, id: str) -> tuple[list[str], str | None]:
        """Return the entries up to the answer before, and that answer."""
        way: list[str] = []
        seen, own, at = {id}, self.answers.get(id), self.parents.get(id)
        while at is not None and at in self.parents and at not in seen:
            answer = self.answers.get(at)
            if answer is not None and answer != own:
                return way, answer
            seen.add(at)
            way.append(at)
            at = self.parents[at]
        return way, None

    def _count(self, answer: str) -> int:
        """Return the answers up to this one, itself among them."""
        way: list[str] = []
        at: str | None = answer
        while at is not None and at not in self._counts:
            way.append(at)
            self._counts[at] = 0
            at = self._since(self._first[at])[1]
        count = 0 if at is None else self._counts[at]
        for one in reversed(way):
            count += 1
            self._counts[one] = count
        return count


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
