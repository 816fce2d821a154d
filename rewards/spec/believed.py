"""Believed: which verification profile stands behind a part of an episode, and what the part weighs by it."""

from collections.abc import Mapping, Sequence

from ...streams.events.episode import Episode
from ...streams.events.signals import kind_of
from ..parts.last_signal import last_signal
from .reward import Part
from .term import Term
from .verification import TrustProfile, Verification, verification_of

LEAST = 1e-6
"""What is left of the weight of a part whose signal says nothing, so that there is a mean at all."""


def weighed_parts(
    terms: Sequence[Term],
    parts: Sequence[Part],
    episode: Episode,
    counted: Episode,
    profiles: Mapping[str, TrustProfile],
) -> tuple[Part, ...]:
    """Return the parts, each known one with its weight times what its signal tells."""
    return tuple(
        [
            part
            if part.value is None or (found := _profile(term, episode, counted, profiles)) is None
            else Part(
                name=part.name,
                value=part.value,
                weight=part.weight * max(found.information, LEAST),
            )
            for term, part in zip(terms, parts, strict=True)
        ]
    )


def verified(
    terms: Sequence[Term],
    parts: Sequence[Part],
    episode: Episode,
    counted: Episode,
    profiles: Mapping[str, TrustProfile],
) -> Verification:
    """Return the mean profile of the known parts, by what they weigh in the reward."""
    plain = TrustProfile()
    return verification_of(
        [
            (_profile(term, episode, counted, profiles) or plain, part.weight)
            for term, part in zip(terms, parts, strict=True)
            if part.value is not None
        ]
    )


def _profile(
    term: Term, episode: Episode, counted: Episode, profiles: Mapping[str, TrustProfile]
) -> TrustProfile | None:
    """Return the profile of the signal that the part's value is by: within the part's own horizon."""
    last = last_signal(term.seen(episode, counted), term.kinds)
    return None if last is None else profiles.get(kind_of(last))
