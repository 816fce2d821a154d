"""Reading: what a reader makes of one message, before it becomes a signal."""

import msgspec

from ...streams.events.judged import Direction, Judged
from .findings import findings
from .message import NextMessage
from .statements import statements

SATISFIED, DISSATISFIED = 0.6, 0.4
"""A value from the one on is satisfied, up to the other dissatisfied; between them it is neutral."""


class Reading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which way a message points."""

    direction: Direction
    """Satisfied, neutral or dissatisfied."""
    value: float
    """0 dissatisfied, 1 satisfied."""
    confidence: float
    """How sure of the direction, in [0, 1]."""


def reading_of(value: float) -> Reading:
    """Return the reading of a calibrated probability of satisfaction.

    >>> reading_of(0.1).direction, reading_of(0.5).direction, reading_of(0.75).confidence
    ('dissatisfied', 'neutral', 0.75)
    """
    direction: Direction = "neutral"
    if value >= SATISFIED:
        direction = "satisfied"
    elif value <= DISSATISFIED:
        direction = "dissatisfied"
    sure = 1.0 - abs(2.0 * value - 1.0) if direction == "neutral" else max(value, 1.0 - value)
    return Reading(direction=direction, value=value, confidence=sure)


def judged(
    reading: Reading, about: NextMessage, *, reader: str, message: str, rubric: str = ""
) -> Judged:
    """Return the signal of a reading, with what the rules find in the message; without its proof."""
    own = not rubric
    return Judged(
        direction=reading.direction,
        value=reading.value,
        confidence=reading.confidence,
        reader=reader,
        message=message,
        rubric=rubric,
        found=findings(about) if own else (),
        statements=statements(about.text) if own else (),
    )
