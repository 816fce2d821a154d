"""Scored: what an episode is worth, and the reward spec as the join asks it."""

from typing import Protocol

import msgspec

from .episode import AttributionRule, Episode
from .generation import Generation
from .signals import Signal
from .usage import Amounts


class Scored(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an episode was worth when it was last looked at."""

    value: float
    """In [0, 1]."""
    parts: bytes
    """The named parts, JSON."""
    spec_version: str
    """Version of the reward spec."""
    ready_at: float
    """Receive time, epoch seconds, from which it may be trained on; 0 is at once."""
    undecided: bool = False
    """Whether nobody decided, and the value is what the spec gives such answers."""


class Score(Protocol):
    """The reward spec, as the join asks it."""

    @property
    def version(self) -> str:
        """Version of the spec."""
        ...

    @property
    def over_chain(self) -> bool:
        """Whether what an answer is worth depends on what its whole chain took."""
        ...

    @property
    def problem(self) -> str | None:
        """What keeps it from knowing what answers are worth; None where nothing does."""
        ...

    def amounts(self, generation: Generation) -> Amounts | None:
        """Return what went into an answer; None where its record does not say."""
        ...

    def __call__(self, episode: Episode) -> Scored | None:
        """Return an episode's reward, or None while nothing decisive is known."""
        ...

    def undecided(self, episode: Episode) -> Scored | None:
        """Return the reward of an episode whose decision is over, or None where it is censored."""
        ...

    def values_undecided(self, segment: str) -> bool:
        """Return whether any answer of a segment that nobody decided on may have a value."""
        ...

    def values_unanswered(self, segment: str) -> bool:
        """Return whether one may that was offered tools, and only asks."""
        ...

    def asks_person(self, tool: str) -> bool:
        """Return whether a call of a tool of this name asks the person."""
        ...

    def only_asks(self, generation: Generation) -> bool:
        """Return whether an answer is such a question."""
        ...

    def decides(self, signal: Signal) -> bool:
        """Return whether a signal is decisive: without one an episode has no reward."""
        ...

    def attribution(self, signal: Signal) -> AttributionRule:
        """Return which answers a signal reaches that names a session or a reference."""
        ...

    @property
    def spreads(self) -> bool:
        """Whether any signal that names an answer belongs to the chain up to it."""
        ...

    def spread(self, signal: Signal) -> AttributionRule | None:
        """Return how a signal that names an answer reaches the chain up to it; None where it does not."""
        ...
