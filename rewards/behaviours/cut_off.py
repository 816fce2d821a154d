"""Cut off: does an answer end before it is over?"""

import re

from ...streams.events.generation import Generation
from .content import holds_answer

_LIMITS = frozenset(("length", "max_tokens", "MAX_TOKENS", "max_output_tokens"))
_OPEN_END = re.compile(
    r"(?:[,(\[{=+&|\\–]|(?<!\d)[-/]|\b(?:and|or|but|the|a|an|of|to|with|for|in|on|is|are|was|that|which|because|if|as|by|from|your|my|our|their|this|und|oder|der|die|das|ein|eine|mit|für|zu|et|ou|le|la|les|de|des|un|une|pour|avec|y|o|el|los|con|para|que)\.{0})$",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
TAIL = 200
"""Characters at the end that are looked at."""


def breaks_off(generation: Generation) -> bool | None:
    """Return whether an answer ends before it is over, whoever ended it.

    It was cut at its length limit; or it stopped inside a block of code, after a comma or an open
    bracket, or on a word that another one must follow. What goes on with a tool call is whole. None
    without content.
    """
    if not holds_answer(generation):
        return None
    if generation.finish_reason in _LIMITS:
        return True
    if generation.tool_calls or generation.finish_reason == "tool_calls":
        return False
    text = generation.text
    if ("```" in text or "~~~" in text) and len(_FENCE.findall(text)) % 2:
        return True
    end = text[-TAIL:].rstrip()
    if end.endswith(("```", "~~~")):
        return False
    return _OPEN_END.search(end) is not None
