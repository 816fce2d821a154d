"""Edit similarity: how much of the answer the person left standing when editing it."""

from rapidfuzz.distance import Levenshtein

from ..streams.episode import Episode
from .accept import edited


def edit_similarity(episode: Episode) -> float | None:
    """Return 1 minus the relative edit distance to what stood there after the last edit.

    Levenshtein distance over characters, divided by the longer length; None where nothing was
    edited, or where the answer's text was not captured.
    """
    final = edited(episode)
    if final is None or not episode.generation.text:
        return None
    return float(Levenshtein.normalized_similarity(episode.generation.text, final))
