"""Token credit: which tokens of an answer an edit speaks for, and which against."""

from collections.abc import Callable, Sequence

from ...streams.events.episode import Episode
from ...streams.events.signals import Edited
from ..parts.last_signal import last_signal
from ..parts.surviving import surviving_tokens, token_spans
from .spec import Spec
from .term import within

EDIT_PARTS = ("edit_similarity", "edit_words", "edit_survival")
"""Parts that say of the whole answer what an edit left of it."""

MOST_CHARACTERS = 16_000
"""Longest text that is aligned here: who seals a batch of a thousand answers does nothing else meanwhile."""

Spell = Callable[[Sequence[int]], Sequence[bytes] | None]
"""Returns the bytes of each token id; None where one is unknown."""


def token_credit(spec: Spec, episode: Episode, spell: Spell) -> tuple[float, ...]:
    """Return what each completion token adds to the answer's reward or takes off it; their sum is 0.

    With share w of the edit's parts in the reward, token t gets w (s_t - mean s), s being 1 where it
    survived the edit and 0 where it was deleted, the mean over the tokens that spell the text, and
    over the width of the spec's range. The answer as a whole is worth what it was; within it, what
    the person left is up and what the person deleted down. Tokens that spell none of the text
    (reasoning, a tool call, the end) get 0.

    Empty where the reward has no part of an edit's, where nothing or everything was deleted, and
    where nobody can say which token spelt which characters: then the credit is the whole answer's.

    Shapes: as many values as completion tokens, or none.
    """
    counted = spec.within_horizons(episode)
    parts, _ = spec.terms_in(episode.generation.segment)
    known = [term for term in parts if term.ask(episode, counted) is not None]
    ours = [term for term in known if term.of in EDIT_PARTS]
    ids = episode.generation.completion_token_ids
    if not ours or not ids:
        return ()
    horizon = ours[0].horizon
    edit = last_signal(counted if horizon is None else within(episode, horizon), Edited)
    text, pieces = episode.generation.text, spell(ids)
    if edit is None or not text or pieces is None:
        return ()
    if max(len(text), len(edit.final_text)) > MOST_CHARACTERS:
        return ()
    spans = token_spans(pieces, text)
    stands = None if spans is None else surviving_tokens(text, edit.final_text, spans)
    if stands is None:
        return ()
    said = [survived for survived in stands if survived is not None]
    if not said or all(said) or not any(said):
        return ()
    low, high = spec.range or (0.0, 1.0)
    share = sum(term.weight for term in ours) / sum(term.weight for term in known) / (high - low)
    mean = sum(said) / len(said)
    return tuple([0.0 if one is None else share * (one - mean) for one in stands])
