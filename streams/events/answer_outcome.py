"""Answer outcome: what an answer was for the person who waited for it, whatever it is worth."""

from typing import NamedTuple

from .generation import SIDE, Generation

FAILED_ENDS = frozenset(("error", "timeout"))
"""Ends by which the gateway says that the person got no whole answer, and not by their own doing."""


MOST_TOKENS = 2**31 - 1
"""What is kept of a count that a product wrote down, whatever number stands there."""


class AnswerOutcome(NamedTuple):
    """What is counted of an answer beside its reward; at most one of these is true."""

    failed: bool
    """The engine failed, broke off or took too long."""
    empty: bool
    """It ended in order and showed nothing: no token, the end token alone, or blanks."""
    cut: bool
    """It was cut at its length limit."""


class AnswerCounts(NamedTuple):
    """Tokens and calls of an answer; None where nobody counted, or the engine failed it."""

    written: int | None
    """Tokens written."""
    read: int | None
    """Tokens read."""
    cached: int | None
    """Of these, the ones that the engine had in its prefix cache."""
    tool_calls: int | None
    """Calls of tools."""


def counts_of(generation: Generation, outcome: AnswerOutcome) -> AnswerCounts:
    """Return what is counted of an answer, each within what a column holds."""
    if outcome.failed:
        return AnswerCounts(None, None, None, None)
    usage = generation.usage
    told = usage.completion_tokens, usage.prompt_tokens, usage.cached_prompt_tokens
    return AnswerCounts(*map(_count, (*told, generation.tool_call_count)))


def _count(told: int | None) -> int | None:
    return None if told is None else max(0, min(told, MOST_TOKENS))


def outcome_of(generation: Generation) -> AnswerOutcome:
    """Return what a generation was for the person.

    A request that the engine refused for the caller's fault (4xx), and one that the caller left,
    say nothing about the weights. Where a product captured neither text, tokens nor usage, nothing
    is known.

    >>> outcome_of(Generation(generation_id="s1.g1", session_id="s1", finish_reason="error"))
    AnswerOutcome(failed=True, empty=False, cut=False)
    """
    finish = generation.finish_reason
    failed = finish in FAILED_ENDS or generation.status >= 500
    left = finish in ("abort", "refused") or not generation.captured
    empty = not failed and not left and finish != "tool_calls" and _shows_nothing(generation)
    return AnswerOutcome(failed, empty, finish == "length" and not failed and not empty)


def _shows_nothing(generation: Generation) -> bool:
    tokens = generation.completion_token_ids
    if tokens == ():
        return True
    if not generation.may_keep:
        # Neither text nor tokens were kept; the usage alone tells an answer without any token.
        return bool(generation.usage.prompt_tokens) and not generation.usage.completion_tokens
    if tokens is None and not generation.usage.completion_tokens:
        return False
    return not generation.text.strip() and not generation.capture_problem


def variant_counted(generation: Generation) -> str:
    """Return the variant that an answer counts for, or why it counts for none.

    A harness asked for it (a title) and no person; or other weights than the variant's gave it.

    >>> variant_counted(Generation(generation_id="g", session_id="s", variant="control"))
    'control'
    """
    if generation.side_request:
        return SIDE
    if generation.fallback:
        return "fallback"
    return "kept" if generation.kept else generation.variant
