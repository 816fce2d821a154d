"""Judged group: what the report says of one group."""

from typing import Literal

import msgspec

from .problem_group import ProblemGroup

State = Literal["new", "spiking", "steady", "gone"]


class VersionRate(msgspec.Struct, frozen=True, kw_only=True):
    """How often it happened with one version."""

    version: str
    """The version; empty where the product did not say."""
    hits: int
    """Times in the days that are looked at."""
    trials: int
    """Of so many; 0 where that is not known by version."""
    people: int = 0
    """People it happened to, on the days that are compared."""
    of_people: int = 0
    """Of so many that the version served then."""
    against: str = ""
    """What that is held against: a version, or several, and when; empty where against nothing."""
    against_people: int = 0
    """People it happened to there."""
    against_of_people: int = 0
    """Of so many."""
    explains: bool = False
    """Whether it is shown to come with this version."""


class WeekCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often it happened in a stretch of days as long as the one that is looked at."""

    since: str
    """First day."""
    hits: int
    """Times."""
    trials: int
    """Of so many; 0 where nothing is known of these days."""


class JudgedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One group, with all that is told of it."""

    fingerprint: str
    """Names it for as long as it is known."""
    group: ProblemGroup
    """What it is."""
    state: State
    """New, spiking, as before, or gone."""
    hits: int
    """Times in the days that are looked at."""
    trials: int
    """Of so many; 0 where it is counted of nothing."""
    rate_before: float | None
    """Share of the trials before; None where there were none."""
    tail: float
    """Probability of so much if nothing has changed; 1 where nothing is shown."""
    no_past: bool
    """Whether there are too few days before to hold it against."""
    first_seen: str
    """First day on which it was seen, of those that are known."""
    last_seen: str
    """Last one."""
    weeks: tuple[WeekCount, ...]
    """By stretch, the newest first."""
    versions: tuple[VersionRate, ...]
    """By version, where it happened most first."""
    evidence: tuple[str, ...]
    """Answers that show it, newest first, those of a version that explains it before others."""
    notes: tuple[str, ...] = ()
    """What else is known of it."""

    @property
    def explained_by(self) -> tuple[str, ...]:
        """Versions that it is shown to come with."""
        return tuple(one.version for one in self.versions if one.explains)

    @property
    def rate(self) -> float | None:
        """Share of the trials; None where it is counted of nothing."""
        return self.hits / self.trials if self.trials else None
