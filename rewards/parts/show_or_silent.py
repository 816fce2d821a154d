"""Show or silent: was it better to suggest something, or nothing?

Shown and accepted is worth 1, shown and turned down 0, and silence the threshold tau, so that showing
pays exactly where it is accepted with a probability above tau: it is worth p against tau. Cursor's Tab
(cursor.com/blog/tab-rl) has 0.75, -0.25 and 0, which is the same for tau = 0.25, less tau.
"""

from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.generation import Generation
from .accepted import accepted

Threshold = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


def show_or_silent(episode: Episode, tau: Threshold = 0.25) -> float | None:
    """Return tau for a silent answer, and for one that was shown what its last decision is worth.

    None where it was shown and nobody decided, and where the record does not tell silence from a
    text that was not captured.
    """
    silent = is_silent(episode.generation)
    if silent is None:
        return None
    return tau if silent else accepted(episode)


def is_silent(generation: Generation) -> bool | None:
    """Return whether the model chose to show nothing; None where the record does not say.

    An answer is silent where the model ended it by itself (`stop`) and it holds neither a tool call
    nor anything but white space. Whoever writes records without texts cannot be told from a silent
    model, so that without any text, and with more than the one token that ends an answer, reasoning
    must be there to show that the texts were captured. What the product held back of a shown answer
    the record does not know: such a product posts nothing, and the answer is undecided.
    """
    if not generation.may_keep or not generation.captured or generation.capture_problem:
        return None
    if generation.text.strip() or generation.tool_calls or generation.tool_call_count:
        return False
    if generation.finish_reason != "stop" or generation.redacted:
        return None
    wrote = len(generation.completion_token_ids or ()) or generation.usage.completion_tokens
    return True if generation.text or generation.reasoning or wrote == 1 else None
