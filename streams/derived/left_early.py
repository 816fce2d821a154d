"""Left early: a client that leaves while its answer is streamed stops it."""

from ..events.generation import Generation
from ..events.signals import Interrupted


def left_early(generation: Generation) -> Interrupted | None:
    """Return the interruption where the client left in mid-stream, with something of the answer: a
    text, a thought or a call.

    Whether a person stopped it, closed a window or lost their connection nobody here knows: so
    `join.leaving_interrupts` says whether it counts.
    """
    left = generation.finish_reason == "abort" and generation.status < 400
    said = generation.text or generation.reasoning or generation.tool_calls
    return Interrupted() if left and generation.captured and said else None
