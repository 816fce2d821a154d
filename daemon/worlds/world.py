"""World: what a demo's people ask for, and what they do about the answers.

Fakes of people, and of nothing else: what they ask goes over HTTP to a real gateway.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Signal = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request of a person."""

    messages: Sequence[Mapping[str, Any]]
    """The conversation so far, as chat completions take it."""
    segment: str
    """Kind of work; the segment of the generation."""
    about: Any
    """What the person has in mind and does not say: only the same world reads it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else the request says: temperature, tools, the longest answer."""
    user: str = ""
    """Who asks it, where that is not the visitor; a session's requests are one person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the person was given."""

    text: str
    """Empty where it only called tools."""
    message: Mapping[str, Any]
    """The whole message, tool calls included, as the next request repeats it."""
    finish_reason: str
    """As the gateway said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing done, after a while."""

    after_seconds: float
    """Since the answer arrived."""
    signal: Signal
    """As `/v1/feedback` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """All that one person does about one answer."""

    taken: bool
    """True where the answer was accepted, even if that was undone later."""
    wanted: bool
    """True where it was what the person wanted, whatever they then said of it."""
    acts: tuple[Act, ...]
    """In order of time."""
    did: str = ""
    """What the answer did, in a word of the world's own."""
    following: Ask | None = None
    """What the same session asks next; None where it ends here."""


class World(Protocol):
    """People with a kind of work and a taste that nobody tells the policy."""

    def ask(self, user: str, rng: random.Random) -> Ask:
        """Return what somebody asks for next; draws only from `rng`, so that a seed repeats it."""
        ...

    def react(self, ask: Ask, answer: Answer, user: str, rng: random.Random) -> Reaction:
        """Return what they do about an answer; draws only from `rng`."""
        ...
