"""Answer outcome: what an answer was for the person who waited for it, whatever it is worth."""

from typing import NamedTuple

from .generation import Generation

FAILED_ENDS = frozenset(("error", "timeout"))
"""Ends by which the gateway says that the person got no whole answer, and not by their own doing."""


class AnswerOutcome(NamedTuple):
    """What is counted of an answer beside its reward; at most one of these is true."""

    failed: bool
    """The engine failed, broke off or took too long."""
    empty: bool
    """It ended in order and showed nothing: no token, the end token alone, or blanks."""
    cut: bool
    """It was cut at its length limit."""


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
