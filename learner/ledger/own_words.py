"""Own words: what people wrote about an answer that may be trained on, where their tenant allows it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ...streams.events.episode import Episode, Timed
from ...streams.events.signals import Edited, FollowedUp
from ..sealed import Correction
from .token_credits import MOST_CHARACTERS

Spell = Callable[[Sequence[int]], Sequence[bytes] | None]
"""Returns the bytes of each token id; None where one is unknown."""


def correction_of(episode: Episode, spell: Spell) -> Correction | None:
    """Return what a person last made of an answer, where one can say which tokens spell its text.

    None where nothing was changed or all was deleted, where something in it was redacted, and where it
    is longer than what is aligned.
    """
    said = [one for one in _by_people(episode) if isinstance(one.feedback.signal, Edited)]
    if not said or said[-1].feedback.redacted:
        return None
    signal, text = said[-1].feedback.signal, episode.generation.text
    assert isinstance(signal, Edited)
    final, ids = signal.final_text, episode.generation.completion_token_ids
    if not ids or not final.strip() or final == text:
        return None
    if max(len(final), len(text)) > MOST_CHARACTERS:
        return None
    # Commands that only read tables load no aligner.
    from ...rewards.parts.surviving import token_spans

    pieces = spell(ids)
    spans = None if pieces is None else token_spans(pieces, text)
    if spans is None:
        return None
    spelling = [place for place, span in enumerate(spans) if span is not None]
    return Correction(text=final, first=spelling[0], past=spelling[-1] + 1)


def follow_up_of(episode: Episode, origins: Mapping[str, Episode]) -> str:
    """Return what the person first wrote back, or nothing.

    What the next request shows has that one's consent: `origins` are those that are held. Something
    redacted in it is shown as such, and nobody's secret any more.
    """
    for one in _by_people(episode):
        signal = one.feedback.signal
        if not isinstance(signal, FollowedUp) or not signal.text.strip():
            continue
        origin = origins.get(one.origin)
        if one.origin and (origin is None or not origin.generation.may_train):
            continue
        return signal.text[:MOST_CHARACTERS]
    return ""


def origins_of(episodes: Iterable[Episode]) -> list[str]:
    """Return the generations whose records show what people wrote back."""
    return sorted(
        {
            one.origin
            for episode in episodes
            for one in episode.feedback
            if one.origin and isinstance(one.feedback.signal, FollowedUp)
        }
    )


def _by_people(episode: Episode) -> list[Timed]:
    said = [one for one in episode.feedback if one.feedback.actor == "person"]
    return sorted(said, key=lambda one: (one.acted_at, one.received_at, one.feedback.feedback_id))
