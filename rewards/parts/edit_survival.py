"""Edit survival: an edit by words, as what it left alike and as what it left standing."""

from rapidfuzz.distance import Levenshtein

from ...streams.events.episode import Episode
from ...streams.events.signals import Edited
from .last_signal import last_signal
from .surviving import MOST_WORK, surviving_words, words


def edit_words(episode: Episode) -> float | None:
    """Return 1 minus the relative edit distance by words to what stood there after the last edit.

    Levenshtein distance over words and marks, divided by the longer text's number of them: a word
    that was replaced costs the same whatever its letters, and white space costs nothing. None where
    nothing was edited, the text was not captured, or the two differ and are too long to compare.
    """
    texts = _edit(episode)
    if texts is None:
        return None
    before, after = words(texts[0]), words(texts[1])
    if before == after:
        return 1.0
    if len(before) * len(after) > MOST_WORK:
        return None
    return float(Levenshtein.normalized_similarity(before, after))


def edit_survival(episode: Episode) -> float | None:
    """Return how much of the answer still stood after the last edit, by characters of whole words.

    What the person added costs nothing, unlike in the two similarities. None as in `edit_words`, and
    where the answer is white space alone.
    """
    texts = _edit(episode)
    if texts is None:
        return None
    before = words(texts[0])
    places, said = surviving_words(before, words(texts[1])), sum(map(len, before))
    return sum([len(before[at]) for at in places]) / said if places is not None and said else None


def _edit(episode: Episode) -> tuple[str, str] | None:
    edit, text = last_signal(episode, Edited), episode.generation.text
    return None if edit is None or not text else (text, edit.final_text)
