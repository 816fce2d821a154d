"""Comments: thinking that an answer hides in the comments of its code."""

import re
from collections.abc import Iterator

from ...streams.events.generation import Generation
from .answer_view import view_of

_LINE = re.compile(r"^\s*(?:#(?!!)|//+!?|--(?!-)|/\*+|\*(?!/)|;+|%|<!--|REM\b)\s?(.*)$")
_TRAILING = re.compile(r"\S\s+(?:#|//)\s(.{30,})$")
_DOC = re.compile(r"(\"\"\"|''')(.*?)\1", re.DOTALL)
_THINKS = re.compile(
    r"\b(?:wait|hmm+|hm|actually|let\s+me|let's\s+(?:think|see|check|consider|try|go|say|assume)|i\s+(?:think|need|should|could|can|will|would|wonder|guess|suppose|believe|don't|am|was|might|want|have|see|must|also)|i'm|i'll|i'd|i've|maybe|perhaps|alternatively|on\s+second\s+thought"
    r"|the\s+user(?:\s+(?:wants|asked|said|says|asks|probably|might))|but\s+(?:then|what\s+if|that|wait|if\s+(?:we|i))|so\s+(?:we|i|if\s+we|that\s+means)|what\s+if|another\s+(?:option|approach|idea|way)|okay|ok|no,|hold\s+on|we\s+(?:could|should|need|might|can|have)"
    r"|not\s+sure|thinking|reconsider|does\s+(?:that|this)\s+work|the\s+(?:question|task|problem)\s+(?:is|asks|says|wants)|first\s+idea|plan:|probably|which\s+means|that\s+(?:would|won't|doesn't)|now\s+(?:i|we)|right\?|good\.|yes,)(?!\w)",
    re.IGNORECASE,
)
LEAST_WORDS = 20
"""Words of a comment that could hold a thought."""
LEAST_SIGNS = 3
"""Turns of thinking in it; two in a comment of at most 40 words."""


def reasoning_in_comments(generation: Generation) -> float | None:
    """Return the share of the words of an answer's code that think aloud in comments.

    Comments that explain the code, licences and documentation are none of them: it takes the turns
    of somebody who weighs what to do ("wait", "let me", "maybe we could"). English. 0 where the
    answer holds no code, None without content.
    """
    if not view_of(generation).holds:
        return None
    words = thinks = 0
    for block in view_of(generation).code:
        total = len(block.split())
        words += total
        if total >= LEAST_WORDS:
            thinks += sum(_thought(comment) for comment in _comments(block))
    return min(1.0, thinks / words) if words else 0.0


def _thought(comment: str) -> int:
    """Return the words of a comment that thinks; 0 for another one."""
    words = len(comment.split())
    if words < LEAST_WORDS:
        return 0
    signs = sum(1 for _ in _THINKS.finditer(comment))
    enough = LEAST_SIGNS if words > 40 else LEAST_SIGNS - 1
    return words if signs >= enough and signs * 30 >= words else 0


def _comments(block: str) -> Iterator[str]:
    """Yield the comments of a block of code; lines that follow each other are one."""
    run = list[str]()
    inside = False
    for line in block.splitlines():
        found = _LINE.match(line)
        if inside or (found is not None and line.lstrip().startswith(("/*", "<!--"))):
            run.append(line.strip().strip("/*<!->"))
            inside = "*/" not in line and "-->" not in line
            continue
        if found is not None:
            run.append(found[1])
            continue
        trailing = _TRAILING.search(line)
        if trailing is not None:
            run.append(trailing[1])
            continue
        if run:
            yield " ".join(run)
            run = []
    if run:
        yield " ".join(run)
    for _, text in _DOC.findall(block):
        yield text
