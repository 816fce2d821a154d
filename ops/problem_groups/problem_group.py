"""Problem group: what happened often enough to have a name, with how often, by version and day."""

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

    >>> told_name("se`arch\\n<b>"), told_name("")
    ('se arch <b>', 'not said')
    """
    shown = "".join(" " if ord(one) < 32 or one in "`\x7f\u2028\u2029" else one for one in text)
    return " ".join(shown.split())[:LONGEST] or "not said"
