"""Signals: what somebody did about a generation, each kind with its own fields (CONTRACTS 3).

A kind may be added within version 1, and so may a field that has a default. A reader that does not
know a kind yet keeps and counts it (`UnknownSignal`), and it counts for what it is after the upgrade.
A field that a reader does not know is ignored.
"""

from typing import Annotated, Literal

import msgspec

from .judged import Fraction, Identifier, Judged, UnknownSignal

__all__ = ["Fraction", "Identifier", "Judged", "UnknownSignal"]

NumberName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
"""Name of a product's own number, as metrics of a rollout name it."""
Number = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
"""A product's own number; sums of many stay finite."""

Statement = Literal[
    "direction",
    "justification",
    "priority",
    "pattern",
    "correction",
    "satisfied",
    "dissatisfied",
    "other",
]
"""What kind of thing a person wrote: what to do, why, what matters more than what, how it is always
done here, what was wrong; that it is good now, or is not; none of these."""

ErrorClass = Literal[
    "invalid_arguments",
    "unexpected_environment",
    "provider_error",
    "user_aborted",
    "timeout",
    "unknown",
]
"""Why a tool call failed: arguments that the tool refuses; a world that was not as the call took it
to be; somebody's outage; a person's stop; too slow; none of these, which is a fault of the product
until somebody has looked."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted", tag_field="kind"):
    """The person took the answer as it is."""


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected", tag_field="kind"):
    """The person turned the answer down."""


class Edited(msgspec.Struct, frozen=True, kw_only=True, tag="edited", tag_field="kind"):
    """The person changed the answer before using it."""

    final_text: str
    """What stood there afterwards."""


class Undone(msgspec.Struct, frozen=True, kw_only=True, tag="undone", tag_field="kind"):
    """The person took back an answer that was accepted."""


class Interrupted(msgspec.Struct, frozen=True, kw_only=True, tag="interrupted", tag_field="kind"):
    """The person stopped the answer before its end."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept", tag_field="kind"):
    """How much of the answer still stood after a while."""

    fraction: Fraction
    """1 minus the relative edit distance; 1 is kept as it was."""
    horizon_seconds: Annotated[float, msgspec.Meta(gt=0.0)]
    """How long after the acceptance this was measured."""


class Copied(msgspec.Struct, frozen=True, kw_only=True, tag="copied", tag_field="kind"):
    """The person copied out of the answer."""

    text: str = ""
    """What was copied, where known."""


class FollowedUp(msgspec.Struct, frozen=True, kw_only=True, tag="followed_up", tag_field="kind"):
    """The person wrote back."""

    text: str
    """What was written."""
    statement: Statement | None = None
    """What kind of thing was written, where somebody classified it."""


class Rated(msgspec.Struct, frozen=True, kw_only=True, tag="rated", tag_field="kind"):
    """The person rated the answer."""

    value: Fraction
    """0 worst, 1 best; a thumb is 0 or 1, three stars of five are 0.5."""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, tag="tool_result", tag_field="kind"):
    """A tool that the answer called came back. Which of several it was, `feedback_id` tells."""

    tool: Identifier
    """Name of the tool."""
    error_class: ErrorClass | None
    """None where it worked. Never left out: silence is not success."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True, tag="resolved", tag_field="kind"):
    """The matter was settled with this answer."""


class Escalated(msgspec.Struct, frozen=True, kw_only=True, tag="escalated", tag_field="kind"):
    """The matter went to somebody else, since this answer did not settle it."""


class Regenerated(msgspec.Struct, frozen=True, kw_only=True, tag="regenerated", tag_field="kind"):
    """The person asked for another answer to the same."""

    new_generation_id: Identifier | None = None
    """The answer that came instead, where known."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag="outcome", tag_field="kind"):
    """What came of it outside of the product: merged, sold, returned, passed its tests."""

    name: Identifier
    """What was measured; each name counts on its own."""
    value: Fraction
    """How good that is: 0 worst, 1 best. The sender maps the measurement to this scale."""
    amount: float | None = None
    """The measurement itself, for people."""
    unit: str = ""
    """Unit of the amount."""


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag="checked", tag_field="kind"):
    """The harness checked whether the answer did as it was told: a format, a rule, a test of its own."""

    name: Identifier
    """What was checked; each name counts on its own, and checked again the later counts."""
    passed: bool
    """Whether the answer did it."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured", tag_field="kind"):
    """A number of the product's own was taken of the answer, after the fact. Says nothing of its worth."""

    name: NumberName
    """What was measured: `seconds_saved`. A metric of a rollout may name it."""
    value: Number
    """How much; a later one of the same name takes its place."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked", tag_field="kind"):
    """A question for feedback was shown. It decides nothing; a reward spec may need who was asked."""

    question: Identifier
    """Which question, by an id that means the same question whenever it is shown."""
    probability: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
    """Probability with which this person was chosen to see it here; 1 where everybody is."""
    channel: Annotated[str, msgspec.Meta(max_length=512)] = ""
    """Where it was shown: below the answer, by mail, in a survey."""


PostedSignal = (
    Accepted
    | Rejected
    | Edited
    | Undone
    | Interrupted
    | Kept
    | Copied
    | FollowedUp
    | Rated
    | ToolResult
    | Resolved
    | Escalated
    | Regenerated
    | Outcome
    | Measured
    | Checked
    | Asked
)
"""What a product may post."""
Signal = PostedSignal | Judged | UnknownSignal

SIGNALS: tuple[type[Signal], ...] = (
    Accepted,
    Rejected,
    Edited,
    Undone,
    Interrupted,
    Kept,
    Copied,
    FollowedUp,
    Rated,
    ToolResult,
    Resolved,
    Escalated,
    Regenerated,
    Outcome,
    Measured,
    Checked,
    Asked,
    Judged,
)
"""Every kind that this build knows."""
DAEMONS_OWN: tuple[type[Signal], ...] = (Judged,)
"""Kinds that no product may send."""


def kind_of(signal: Signal) -> str:
    """Name of a signal's kind, as on the wire."""
    if type(signal) is UnknownSignal:
        return signal.named
    return str(type(signal).__struct_config__.tag)
