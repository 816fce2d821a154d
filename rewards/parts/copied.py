"""Copied: did the person take something out of the answer, and how much of it?"""

from ...streams.events.episode import Episode
from ...streams.events.signals import Copied


def copied(episode: Episode) -> float | None:
    """Return 1 where the person copied out of the answer, or None.

    That nobody copied says nothing by itself: answers are read, typed off, and remembered.
    """
    return 1.0 if _copies(episode) else None


def copied_share(episode: Episode) -> float | None:
    """Return how much of the answer was copied, by characters without white space.

    A passage that was copied twice counts once, and one that occurs several times by its first
    occurrence. A copy whose text is not known counts as the whole answer; one whose text does not
    stand in the answer does not count. None where no copy counts.
    """
    copies, answer = _copies(episode), episode.generation.text
    if not copies:
        return None
    if "" in copies:
        return 1.0
    taken = set[int]()
    for text in copies:
        begins = answer.find(text)
        if begins >= 0:
            taken.update(range(begins, begins + len(text)))
    said = {place for place, character in enumerate(answer) if not character.isspace()}
    return len(taken & said) / len(said) if taken & said else None


def _copies(episode: Episode) -> set[str]:
    """Return what was copied, without white space around it; a copy of nothing else is none."""
    signals = [one.feedback.signal for one in episode.feedback]
    texts = [one.text for one in signals if isinstance(one, Copied)]
    return {text.strip() for text in texts if text.strip() or not text}
