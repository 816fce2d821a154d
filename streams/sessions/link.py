"""Link: from which earlier generation a turn goes on, and by which rule that is known."""

from typing import NamedTuple

NAMED = "named"
"""The product named the generation, of the same session."""
TOKENS = "tokens"
"""The prompt begins with all tokens of its prompt and its answer: of several the longest."""
TOOL_RESULT = "tool_result"
"""The request brings the result of a tool call of its answer."""
ANSWER = "answer"
"""The last answer in the request says what it said: where a template leaves thoughts out of what was
said before, no prompt goes on from the tokens."""
SUMMARY = "summary"
"""The conversation begins anew from a text that it wrote, in this session or another of the same person:
the harness compacted what was too long."""
SUBAGENT = "subagent"
"""Another session, which it started: named by the product, or by the id of a tool call."""

GOES_ON = frozenset((NAMED, TOKENS, TOOL_RESULT, ANSWER))
"""Links by which the turn is what came next, so that its input says something about the answer."""


class Link(NamedTuple):
    """One turn's link."""

    parent: str
    """Generation id."""
    rule: str
    """One of the rules above."""
