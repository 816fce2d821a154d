"""Request: one answer to make, and what the decoder tells of it step by step."""

from collections.abc import Callable
from dataclasses import dataclass

from .sampling import SamplingParams, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLogprob:
    """What the policy thinks of one token of a prompt, at temperature 1."""

    id: int
    """Index into the vocabulary."""
    logprob: float
    """Given all tokens before it."""
    rank: int
    """1 where no token was likelier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """What one step gave one request."""

    tokens: tuple[Token, ...] = ()
    """New tokens; none where the request ended without one."""
    prompt: tuple[PromptLogprob, ...] = ()
    """The prompt's tokens but the first, with the first emission, where asked for."""
    finish: str | None = None
    """None while it goes on; then `stop` or `length`, or what went wrong: `abort`, `missing` (no
    such adapter) or `nonfinite` (its log-probabilities)."""


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One answer to make."""

    prompt: tuple[int, ...]
    """At least one token."""
    sampling: SamplingParams
    """How to draw."""
    adapter: str | None
    """Name of the adapter; None is the base model."""
    emit: Callable[[Emission], None]
    """Called in the decoder's thread; must not block."""
    cancelled: bool = False
    """Set from any thread: nobody waits for the answer any more."""
