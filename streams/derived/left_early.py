"""Left early: a client that leaves while its answer is streamed stops it."""

from ..events.generation import Generation
from ..events.signals import Interrupted


def left_early(generation: Generation) -> Interrupted | None:
    """Return the interruption where the client left in mid-stream, with something of the answer.

    Whether a person stopped it, closed a window or lost their connection nobody here knows: so
    `join.leaving_interrupts` says whether it counts.
    """
    left = generation.finish_reason == "abort" and generation.status < 400
    return Interrupted() if left and generation.captured and generation.text else None
