"""Usage: tokens that a generation read and wrote, and what went into the answers of a whole chain."""

from typing import Annotated, NamedTuple

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Tokens that a generation read and wrote."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""
    cached_prompt_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of the tokens read, those that the engine had in its prefix cache; None where it did not say."""
    reasoning_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of the tokens written, those that were reasoning; None where the engine did not say."""


class Amounts(NamedTuple):
    """What went into an answer, or into several: amounts add up over the turns of a session."""

    reasoning: float
    """Tokens of reasoning."""
    call_tokens: float
    """Tokens of tool calls: names and arguments."""
    output_tokens: float
    """Tokens of tools' results that the answer had to read."""
    answer: float
    """Tokens of the answer itself."""
    calls: float
    """Calls of tools."""
    turns: float
    """Answers."""


class ChainSpent(NamedTuple):
    """What the answers of one piece of work took together, and where in it one of them stands."""

    amounts: Amounts
    """Over all of them, each once; `turns` are the answers."""
    uncounted: int
    """Answers among them of which only the turn is known."""
    steps: int
    """Answers between this one and the last; a subagent's stands where the one does that started it."""
