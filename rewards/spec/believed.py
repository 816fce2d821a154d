"""Believed: which verification profile stands behind a part of an episode, and what the part weighs by it."""

from collections.abc import Mapping, Sequence

from ...streams.events.episode import Episode
from ...streams.events.signals import kind_of
from .reward import Part
from .term import Term
from .verification import TrustProfile, Verification, verification_of

LEAST = 1e-6
"""What is left of the weight of a part whose signal says nothing, so that there is a mean at all."""


def weighed_parts(
    terms: Sequence[Term],
    parts: Sequence[Part],
    counted: Episode,
    profiles: Mapping[str, TrustProfile],
) -> tuple[Part, ...]:
    """Return the parts, each known one with its weight times what its signal tells."""
    return tuple(
        [
            part
            if part.value is None or (found := _profile(term, counted, profiles)) is None
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
    counted: Episode,
    profiles: Mapping[str, TrustProfile],
) -> Verification:
    """Return the mean profile of the known parts, by what they weigh in the reward."""
    plain = TrustProfile()
    return verification_of(
        [
            (_profile(term, counted, profiles) or plain, part.weight)
            for term, part in zip(terms, parts, strict=True)
            if part.value is not None
        ]
    )


def _profile(
    term: Term, counted: Episode, profiles: Mapping[str, TrustProfile]
) -> TrustProfile | None:
    said = [one for one in counted.feedback if isinstance(one.feedback.signal, term.kinds)]
    if not said:
        return None
    # As `last_signal`: by when the person acted.
    last = max(said, key=lambda one: (one.acted_at, one.received_at)).feedback.signal
    return profiles.get(kind_of(last))
