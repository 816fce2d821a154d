"""Remainder: what a trace format has no place for, kept beside it so that nothing is lost on the way.

A writer writes an answer in the format's own fields, reads it again, and puts down whatever came out
otherwise; a reader puts that in place. So a field is written twice by nobody, and a field that is new
is kept without anybody thinking of it.
"""

from typing import Any

import msgspec

from ..events.event import FeedbackEvent, GenerationEvent

NAME = "rlwd"
"""Under which the formats' extension points hold it."""


class Remainder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept beside one answer."""

    envelope: dict[str, Any] = {}
    """Fields of the event around the generation."""
    generation: dict[str, Any] = {}
    """Fields of the generation."""
    feedback: tuple[FeedbackEvent, ...] = ()
    """What was done about it."""
    derived: tuple[dict[str, Any], ...] = ()
    """What the join derived about it; told, and derived anew where it is read."""
    reward: dict[str, Any] | None = None
    """What it was worth, and by which spec; told, and never read again."""


_ENVELOPE = ("id", "source", "time", "receivedtime")


def remainder_of(
    event: GenerationEvent,
    read: GenerationEvent,
    feedback: tuple[FeedbackEvent, ...] = (),
    derived: tuple[dict[str, Any], ...] = (),
    reward: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a format lost of an answer, as JSON has it; the rest is told beside it."""
    generation = {
        name: getattr(event.data, name)
        for name in event.data.__struct_fields__
        if getattr(event.data, name) != getattr(read.data, name)
    }
    envelope = {n: getattr(event, n) for n in _ENVELOPE if getattr(event, n) != getattr(read, n)}
    left = Remainder(
        envelope=envelope,
        generation=generation,
        feedback=feedback,
        derived=derived,
        reward=reward,
    )
    found: dict[str, Any] = msgspec.to_builtins(left)
    return found


def restored(
    read: GenerationEvent, remainder: Any
) -> tuple[GenerationEvent, tuple[FeedbackEvent, ...]]:
    """Return an answer with its remainder put in place, and the feedback on it.

    Raises ValueError with the path where the remainder is none.
    """
    left = msgspec.convert(remainder, Remainder)
    whole = msgspec.to_builtins(read)
    whole |= {name: value for name, value in left.envelope.items() if name in _ENVELOPE}
    whole["data"] = {**whole["data"], **left.generation}
    return msgspec.convert(whole, GenerationEvent), left.feedback
