"""Episodes from what somebody did and when, for the rewards."""

from typing import Any

from rlwd.streams.events.episode import Episode, Timed
from rlwd.streams.events.event import Feedback
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Signal


def did(signal: Signal, at: float, *, received: float | None = None) -> Timed:
    """Write something done `at` seconds after the answer, received then or later."""
    feedback = Feedback(feedback_id=f"f{at}", generation_id="g", session_id="s", signal=signal)
    received_at = at if received is None else received
    return Timed(feedback=feedback, acted_at=at, received_at=received_at)


def episode(*feedback: Timed, **more: Any) -> Episode:
    """Write an episode received at 0, feedback in the order received."""
    given = {"generation_id": "g", "session_id": "s", "text": "abcd", **more}
    ordered = tuple(sorted(feedback, key=lambda one: one.received_at))
    return Episode(generation=Generation(**given), received_at=0.0, feedback=ordered)
