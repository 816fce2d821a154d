"""Episode: one served request joined with its feedback."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from .event import Feedback
from .generation import Generation
from .signals import Asked, Judged
from .usage import ChainSpent

RuleName = Literal["last", "chain", "discount"]


class AttributionRule(NamedTuple):
    """Which answers feedback reaches that names a session or a reference."""

    name: RuleName = "last"
    """The last answer before the act; all answers up to it; or these, each one less."""
    discount: float = 1.0
    """What each answer between one and the last leaves of the weight."""

    def weight(self, steps: int) -> float:
        """Return the weight of an answer so many answers before the last; 0 where it is not reached.

        >>> AttributionRule("discount", 0.5).weight(2), AttributionRule("last").weight(1)
        (0.25, 0.0)
        """
        if self.name == "last":
            return 1.0 if steps == 0 else 0.0
        return 1.0 if self.name == "chain" else self.discount**steps


LAST = AttributionRule()


class Attribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """By what right feedback stands with an answer that it does not name."""

    rule: RuleName
    """As in the reward spec."""
    weight: float = 1.0
    """How much of the feedback is this answer's, in (0, 1]."""
    steps: int = 0
    """Answers between it and the last one before the act; 0 is the last."""
    through: str = ""
    """For an answer of a subagent the one that started it, whose place in the chain it shares."""
    of: str = ""
    """The later answer that it names, where it spreads over the chain up to that."""

    @property
    def of_last(self) -> bool:
        """Whether this is the last answer itself: what is counted once is counted there."""
        return not self.steps and not self.through and not self.of


class Timed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Feedback with the two times that matter."""

    feedback: Feedback
    """What was done."""
    acted_at: float
    """When the person acted, epoch seconds."""
    received_at: float
    """When it was received, epoch seconds."""
    origin: str = ""
    """The generation whose record says so, for a signal that nobody posted; empty for a posted one."""
    attribution: Attribution | None = None
    """How it reaches the answer, where it names a session or a reference and not the answer itself."""


class Episode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A generation and what people did about it, in the order received.

    Feedback that another one replaces is already left out. An acceptance that was undone stays,
    with the undoing after it: what that is worth is for the reward spec to say.

    Example: accepted at 100.5, then half of it gone at the 30 s horizon::

        Episode(generation=Generation(generation_id="s1.g1", session_id="s1"), received_at=100.0,
                feedback=(Timed(feedback=accepted, acted_at=100.4, received_at=100.5),
                          Timed(feedback=kept_half, acted_at=130.4, received_at=130.5)))
    """

    generation: Generation
    """What was served."""
    received_at: float
    """When the generation was received, epoch seconds; horizons run from here."""
    feedback: tuple[Timed, ...]
    """What was done, earliest received first."""
    history: str = ""
    """`switched` where another version wrote some of what stands before it in the conversation,
    `foreign` where somebody did whom nobody knows; empty where its own version wrote all of it."""
    chain: ChainSpent | None = None
    """What the piece of work took that it is part of; None where nobody asked, or it stands alone."""

    @property
    def id(self) -> str:
        """Generation id."""
        return self.generation.generation_id

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The questions for feedback that were shown with it, and with what probability."""
        return tuple(
            [one.feedback.signal for one in self.feedback if isinstance(one.feedback.signal, Asked)]
        )


def join_feedback(
    generation: Generation, received_at: float, feedback: tuple[Timed, ...], history: str = ""
) -> Episode:
    """Return the episode of a generation and its feedback, with possible times of acts.

    A person's clock may be wrong by minutes or years. An act is never later than its receipt, nor
    earlier than the answer that it is about: of two acts that were moved, the one received later is
    the later one.
    """
    acts = tuple(
        [
            one
            if received_at <= one.acted_at <= one.received_at
            else msgspec.structs.replace(
                one, acted_at=min(max(one.acted_at, received_at), one.received_at)
            )
            for one in feedback
        ]
    )
    return Episode(generation=generation, received_at=received_at, feedback=acts, history=history)


def order_feedback(timed: Sequence[Timed]) -> tuple[Timed, ...]:
    """Return feedback on one generation in the order received, without what another one replaces."""
    if len(timed) == 1:
        return tuple(timed)  # Nothing takes its own place.
    return without_replaced(
        sorted(timed, key=lambda one: (one.received_at, one.feedback.feedback_id))
    )


def without_replaced(timed: Sequence[Timed]) -> tuple[Timed, ...]:
    """Leave out what another one takes the place of; nothing takes its own."""
    said = [one.feedback for one in timed]
    replaced = {one.replaces for one in said if one.replaces != one.feedback_id}
    replaced.discard(None)
    if not replaced:
        return tuple(timed)
    return tuple(
        [
            one
            for one in timed
            # Nobody takes the daemon's reading of their message back by naming it.
            if one.feedback.feedback_id not in replaced or type(one.feedback.signal) is Judged
        ]
    )
