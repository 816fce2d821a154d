"""Judged: what the daemon read in a person's next message; and a signal that nobody here knows."""

from typing import Annotated, Literal

import msgspec

Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Direction = Literal["satisfied", "neutral", "dissatisfied"]
"""Which way a reading points; neutral is also what a reader says that cannot tell."""

Finding = Literal[
    "moved_on",
    "thanked",
    "corrected",
    "complained",
    "pasted_trace",
    "changed_subject",
]
"""What a person's next message does with the answer before it: takes the next step from it, thanks
for it, says what is wrong with it, says that it is wrong, pastes what broke, begins something else."""

WorkStatement = Literal[
    "direction",
    "justification",
    "context_management",
    "correction",
    "tool_knowledge",
    "quality_bar",
    "priority",
    "pattern",
    "task_selection",
]
"""The nine kinds of statement by which people steer work: what to do, why, what to look at, what was
wrong, which tool and how, when it is done, what matters more, how it is always done, what is next."""


class Judged(msgspec.Struct, frozen=True, kw_only=True, tag="judged", tag_field="kind"):
    """What a reader of rlwd's own made of a person's next message, or by a rubric of the answer itself.

    Written by the daemon alone: `proof` is its keyed hash over all of the feedback, and a record
    without a right one is dead-lettered.
    """

    direction: Direction
    """Which way it points."""
    value: Fraction
    """0 dissatisfied, 1 satisfied: of a calibrated reader the probability, of a rubric the mark."""
    confidence: Fraction
    """How sure the reader is of the direction."""
    reader: Identifier
    """Name and version of the reader: `learned@3fa9c2e1d0b4`."""
    message: Identifier
    """Whose words were read: the generation whose request holds them, else the `feedback_id` of a
    posted `followed_up`; of a rubric the answer itself."""
    rubric: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Which rubric; empty is the person's satisfaction."""
    found: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=16)] = ()
    """What the message does with the answer."""
    statements: Annotated[tuple[WorkStatement, ...], msgspec.Meta(max_length=16)] = ()
    """Which kinds of statement stand in it."""
    proof: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """Keyed hash, hex."""


class UnknownSignal(
    msgspec.Struct, frozen=True, kw_only=True, tag="unknown_signal", tag_field="kind"
):
    """A signal of a kind that this build does not know: kept and counted, and worth nothing.

    Never on the wire: it stands in the state database for what was.
    """

    named: str
    """The kind as the record has it."""
    fields: msgspec.Raw
    """The whole signal, JSON."""
