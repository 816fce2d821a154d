"""Tracing: what an answer went through, as OpenTelemetry spans; a no-op where no collector is named.

An answer's trace begins in the gateway, under the caller's own where it sent a W3C `traceparent`, and
its identity travels in the generation's record: so join and batch are spans of it, in whichever process.
Attributes are names, numbers and ids. Nothing that a person or a model wrote is in them, nor who asked.
Source: W3C Trace Context, 3.2; OpenTelemetry's semantic conventions for generative AI.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from ...streams.events.generation import Generation

if TYPE_CHECKING:
    # Of no use to a gateway.
    from ...learner.sealed import SealedBatch, SealedEpisode

NO_COUNTS: Mapping[str, int] = {"sent": 0, "dropped": 0}


class AnswerSpan(Protocol):
    """The span of one answer, from its request to its last byte."""

    traceparent: str
    """What its record carries; empty where it is not traced."""

    def end(self, generation: Generation, seconds: float) -> None:
        """End it with what is known of the answer, so many seconds after it began."""
        ...


class Untraced:
    """The span of an answer that is not traced."""

    traceparent = ""

    def end(self, generation: Generation, seconds: float) -> None:
        """Do nothing."""


UNTRACED: AnswerSpan = Untraced()


class Tracing:
    """Makes no spans: what is used where no collector is named."""

    def answer(self, traceparent: str, generation_id: str, received: float) -> AnswerSpan:
        """Begin an answer's span; `traceparent` is the caller's header, or empty."""
        return UNTRACED

    def joined(self, taken: Iterable[tuple[Generation, float]], now: float) -> None:
        """Make a span of each traced generation that was taken in, from its receive time to now."""

    def sealed(self, batch: "SealedBatch", now: float) -> None:
        """Make a span of each traced episode of a batch."""

    def counts(self) -> Mapping[str, int]:
        """Return spans sent and dropped."""
        return NO_COUNTS

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most."""


def held_out(batch: "SealedBatch") -> Iterable[tuple["SealedEpisode", bool]]:
    """Yield a batch's episodes, and whether each is kept from training."""
    yield from ((one, False) for one in batch.episodes)
    yield from ((one, True) for one in batch.held_out)
