"""Edit similarity: how much of the answer the person left standing when editing it."""

from rapidfuzz.distance import Levenshtein

from ...streams.events.episode import Episode
from ...streams.events.signals import Edited
from .last_signal import last_signal

MOST_WORK = 50_000**2
"""Most that is compared, as one text's characters times the other's: 0.1 s. Two texts of a megabyte
would take 50 s, and all of ingest would wait."""


def edit_similarity(episode: Episode) -> float | None:
    """Return 1 minus the relative edit distance to what stood there after the last edit.

    Levenshtein distance over characters, divided by the longer length; None where nothing was
    edited, where the answer's text was not captured, or where the two differ and are too long to compare.
    """
    edit = last_signal(episode, Edited)
    text = episode.generation.text
    if edit is None or not text:
        return None
    final = edit.final_text
    if text == final:
        return 1.0
    if len(text) * len(final) > MOST_WORK:
        return None
    return float(Levenshtein.normalized_similarity(text, final))
