"""Believed: which verification profile stands behind a part of an episode, and what the part weighs by it."""

from collections.abc import Mapping, Sequence

from ...streams.events.episode import Episode
from ...streams.events.signals import (
    Checked,
    Copied,
    Edited,
    Escalated,
    Judged,
    Kept,
    Outcome,
    Rated,
    Resolved,
    Signal,
    ToolResult,
    kind_of,
)
from ..parts.accepted import DECISIONS
from .reward import Part
from .term import Term
from .verification import TrustProfile, Verification, verification_of

Kinds = tuple[type[Signal], ...]

LEAST = 1e-6
"""What is left of the weight of a part whose signal says nothing, so that there is a mean at all."""

PART_KINDS: dict[str, Kinds] = {
    **dict.fromkeys(
        ("accepted", "show_or_silent", "undone", "interrupted", "regenerated"), DECISIONS
    ),
    **dict.fromkeys(("edit_similarity", "edit_words", "edit_survival"), (Edited,)),
    **dict.fromkeys(("copied", "copied_share"), (Copied,)),
    "kept": (Kept,),
    "rated": (Rated,),
    "resolved": (Resolved, Escalated),
    "outcome": (Outcome,),
    "tool_ok": (ToolResult,),
    "valid_calls": (ToolResult,),
    "checked": (Checked,),
    **dict.fromkeys(("satisfied", "marked"), (Judged,)),
}
"""Which kinds of signal a part reads; the profile of the last one of them counts. What an installed
part reads is not known, and it is believed as it is."""


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
    kinds = PART_KINDS.get(term.of.partition("@")[0], ())
    said = [one for one in counted.feedback if isinstance(one.feedback.signal, kinds)]
    if not said:
        return None
    # As `last_signal`: by when the person acted.
    last = max(said, key=lambda one: (one.acted_at, one.received_at)).feedback.signal
    return profiles.get(kind_of(last))
