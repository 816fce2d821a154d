"""Finding: what one check of `rlwd doctor` saw, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    """Nothing to do."""
    WARN = "warn"
    """The loop can run, but not as well as it should, or not yet."""
    FAIL = "FAIL"
    """The loop cannot run like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    grade: Grade
    """How bad it is."""
    what: str
    """What was looked at: state, model, engine."""
    seen: str
    """What is the case."""
    remedy: str = ""
    """What to do about it; empty where nothing is."""

    @property
    def line(self) -> str:
        """The finding as it is printed."""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.grade:<4}  {self.what}: {self.seen}{remedy}"


def ok(what: str, seen: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(grade=Grade.OK, what=what, seen=seen)


def warn(what: str, seen: str, remedy: str) -> Finding:
    """Return a finding that the loop can live with."""
    return Finding(grade=Grade.WARN, what=what, seen=seen, remedy=remedy)


def fail(what: str, seen: str, remedy: str) -> Finding:
    """Return a finding that stops the loop."""
    return Finding(grade=Grade.FAIL, what=what, seen=seen, remedy=remedy)
