"""Token credit: which tokens of an answer an edit speaks for, and which against."""

from collections.abc import Callable, Sequence

from ...streams.events.episode import Episode
from ...streams.events.signals import Edited
from ..parts.last_signal import last_signal
from ..parts.surviving import surviving_tokens, token_spans
from .shared_parts import asked_parts
from .spec import Spec
from .term import within

EDIT_PARTS = ("edit_similarity", "edit_words", "edit_survival")
"""Parts that say of the whole answer what an edit left of it."""

Spell = Callable[[Sequence[int]], Sequence[bytes] | None]
"""Returns the bytes of each token id; None where one is unknown."""


def token_credit(spec: Spec, episode: Episode, spell: Spell) -> tuple[float, ...]:
    """Return what each completion token adds to the answer's reward or takes off it; their sum is 0.

    With share w of the edit's parts in the reward, token t gets w (s_t - mean s), s being 1 where it
    survived the edit and 0 where it was deleted, the mean over the tokens that spell the text, and
    over the width of the spec's range. The answer as a whole is worth what it was; within it, what
    the person left is up and what the person deleted down. Tokens that spell none of the text
    (reasoning, a tool call, the end) get 0.

    Empty where the reward has no part of an edit's, as where the spec's undecided value stands for the
    parts, where nothing or everything was deleted, and where nobody can say which token spelt which
    characters: then the credit is the whole answer's.

    Shapes: as many values as completion tokens, or none.
    """
    counted = spec.within_horizons(episode)
    terms = spec.terms_in(episode.generation.segment).parts
    ours = [term for term in terms if term.of in EDIT_PARTS]
    text, ids = episode.generation.text, episode.generation.completion_token_ids
    if not ours or not text or not ids:
        return ()
    seen = [counted if one.horizon is None else within(episode, one.horizon) for one in ours]
    edit = next((one for one in [last_signal(given, Edited) for given in seen] if one), None)
    if edit is None:
        return ()
    share = _share(spec, episode, counted)
    pieces = spell(ids) if share else None
    if pieces is None:
        return ()
    spans = token_spans(pieces, text)
    stands = None if spans is None else surviving_tokens(text, edit.final_text, spans)
    if stands is None:
        return ()
    said = [survived for survived in stands if survived is not None]
    if not said or all(said) or not any(said):
        return ()
    mean = sum(said) / len(said)
    return tuple([0.0 if one is None else share * (one - mean) for one in stands])


def edit_share(spec: Spec, episode: Episode) -> float:
    """Return by how much the credit of a token that the last edit left is above that of a deleted one.

    That is the share of the edit's parts in the reward, over the width of the spec's range; 0 without an
    edit that counts.
    """
    if not any(isinstance(one.feedback.signal, Edited) for one in episode.feedback):
        return 0.0
    return _share(spec, episode, spec.within_horizons(episode))


def _share(spec: Spec, episode: Episode, counted: Episode) -> float:
    """Return how much of the reward the edit's parts are, as its parts weigh; 0 where they are none."""
    if not any(spec.decides(one.feedback.signal) for one in counted.feedback):
        return 0.0
    terms = spec.terms_in(episode.generation.segment)
    asked = zip(terms.parts, asked_parts(terms, episode, counted, spec.trust), strict=True)
    known = [(term.of in EDIT_PARTS, part.weight) for term, part in asked if part.value is not None]
    ours = sum(weight for is_edit, weight in known if is_edit)
    low, high = spec.range or (0.0, 1.0)
    return ours / sum(weight for _, weight in known) / (high - low) if ours else 0.0
