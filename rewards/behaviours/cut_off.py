"""Cut off: does an answer end before it is over?"""

from ...streams.events.generation import Generation
from .answer_view import view_of

_LIMITS = frozenset(("length", "max_tokens", "MAX_TOKENS", "max_output_tokens"))
_LEADS_ON = frozenset(
    (
        *("and", "or", "but", "the", "a", "an", "of", "to", "with", "for", "is", "are", "was"),
        *(
            "that",
            "which",
            "because",
            "if",
            "as",
            "by",
            "from",
            "your",
            "my",
            "our",
            "their",
            "this",
            "und",
        ),
        *("oder", "der", "die", "das", "ein", "eine", "mit", "für", "zu", "et", "ou", "le", "la"),
        *("les", "de", "des", "un", "une", "pour", "avec", "y", "o", "el", "los", "con", "para"),
        "que",
    )
)
"""Words that another one must follow."""
_OPEN = (",", "(", "[", "{", "=", "&", "|", "\\", "–")
TAIL = 200
"""Characters at the end that are looked at."""


def breaks_off(generation: Generation) -> bool | None:
    """Return whether an answer ends before it is over, whoever ended it.

    It was cut at its length limit; or it stopped inside a block of code, after a comma or an open
    bracket, or on a word that another one must follow. What goes on with a tool call is whole. None
    without content.
    """
    if generation.may_keep and generation.finish_reason in _LIMITS:
        return True
    if not view_of(generation).holds:
        return None
    if generation.tool_calls or generation.finish_reason == "tool_calls":
        return False
    text = generation.text
    if len(view_of(generation).fences) % 2:
        return True
    words = text[-TAIL:].split()
    if not words or words[-1].startswith(("```", "~~~")):
        return False
    last = words[-1]
    if last.endswith(_OPEN) or (len(last) > 2 and last[-1] == "-" and last[:-1].islower()):
        return True
    # A capital alone is a name or a choice: "The answer is A".
    return (last if len(last) == 1 else last.lower()) in _LEADS_ON
