"""Problem group: what happened often enough to have a name, with how often, by version and day."""

import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from .fingerprint import LONGEST, fingerprint
from .people_seen import PeopleSeen

Source = Literal["log", "tool", "behaviour", "exclusion", "feedback", "dead_letter", "standing"]
SOURCES: dict[Source, str] = {
    "log": "log lines",
    "tool": "tools",
    "behaviour": "behaviours",
    "exclusion": "answers left out of training",
    "feedback": "what people did",
    "dead_letter": "refused records",
    "standing": "problems that status names",
}
DAY = 86_400
EVIDENCE = 5
"""Answers that a group names."""
_TURNS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
"""Bidirectional classes of characters that turn the direction of what follows."""


class ProblemGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What one group is of."""

    source: Source
    """Where it was seen."""
    name: str
    """What it is, in words that stay the same from time to time."""
    unit: str = ""
    """What it is counted of: its trials. Empty: of nothing, it is there or not."""
    people: str = ""
    """Trials whose people are counted by version; empty where a version is not known."""
    is_rate: bool = False
    """Whether it happens at some rate anyway, so that only a rise is a problem."""

    @property
    def fingerprint(self) -> str:
        """Names it."""
        return fingerprint(self.source, self.name)


@dataclass(slots=True)
class CountedProblems:
    """What the sources say of some days."""

    people: PeopleSeen
    """Who it happened to."""
    groups: dict[str, ProblemGroup] = field(default_factory=dict)
    """By fingerprint."""
    hits: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By fingerprint, version and day."""
    trials: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By unit, version and day."""
    shared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By fingerprint and version, the hits of the days that are looked at where one hit may be of several
    versions; `hits` has each of them once then, and names no version."""
    evidence: dict[tuple[str, str], list[tuple[float, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By fingerprint and version, the newest answers."""
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By fingerprint, what else is known of it, in sentences."""
    read: list[str] = field(default_factory=list)
    """What was read, and what was not, in sentences."""

    def group(self, one: ProblemGroup) -> str:
        """Know a group; return its fingerprint."""
        name = one.fingerprint
        self.groups.setdefault(name, one)
        return name

    def show(self, group: str, version: str, at: float, generation: str) -> None:
        """Note an answer as evidence: the newest few are kept."""
        if not generation:
            return
        held = self.evidence[group, version]
        if (at, generation) not in held:
            held.append((at, generation))
            held.sort(key=lambda one: (-one[0], one[1]))
            del held[EVIDENCE:]


def told_name(text: str) -> str:
    """Return a name that somebody else chose, as it is told: one line, nothing that ends a code span.

    Nor does anything move a terminal's cursor or turn the direction of writing.

    >>> told_name("se`arch\\n<b>"), told_name("a\\x9b2J\\u202eb"), told_name("")
    ('se arch <b>', 'a 2J b', 'not said')
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if _is_control(one) else one for one in text)
    return " ".join(text.replace("`", " ").split())[:LONGEST] or "not said"


def _is_control(one: str) -> bool:
    """Return whether a character is shown by what it does to others."""
    return (
        unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(one) in _TURNS
    )
