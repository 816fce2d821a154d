"""Token credits: which of a batch's answers have a credit per token."""

from collections.abc import Callable, Container

from ...streams.events.episode import Episode
from ...streams.events.signals import Edited

Credit = Callable[[Episode], tuple[float, ...]]
"""What each completion token of an episode adds to its reward; nothing where that is the whole answer's."""

MOST_CHARACTERS = 16_000
"""Longest text that is aligned: 10 ms."""
MOST_IN_BATCH = 1_000_000
"""Characters of edited answers that one batch aligns with their edits: 0.6 s, in which who seals does
nothing else. Beyond it, the freshest answers first, an edit's credit is for the whole answer."""


def whole_answer(episode: Episode) -> tuple[float, ...]:
    """Give no token another credit than its answer's."""
    return ()


def credit_in_batch(credit: Credit, held_out: Container[str]) -> Credit:
    """Return the credit of the answers of one batch, asked in the batch's order.

    None for what is held out, which nothing is trained on, and none once MOST_IN_BATCH characters were aligned.
    """
    left = MOST_IN_BATCH

    def credited(episode: Episode) -> tuple[float, ...]:
        nonlocal left
        if episode.id in held_out:
            return ()
        edits = [one.feedback.signal for one in episode.feedback]
        finals = [len(one.final_text) for one in edits if isinstance(one, Edited)]
        size = max(len(episode.generation.text), *finals) if finals else 0
        if size > MOST_CHARACTERS:
            return ()  # Not aligned whatever is left: it takes nothing from the others.
        left -= size
        return credit(episode) if left >= 0 else ()

    return credited
