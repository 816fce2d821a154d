"""Waiting in tests: for the state that is asserted next, and never for a time."""

import time
from collections.abc import Callable

PAUSES = (0.02, 0.1)
"""Seconds between two looks, the first and the longest: what is looked at is often a daemon's page or its
tables, and fifty looks a second at them took half a core of a machine that has two."""


def until(
    true: Callable[[], object],
    seconds: float = 180.0,
    *,
    pause: float | None = None,
    told: Callable[[], str] = lambda: "it never came true",
) -> None:
    """Return once something is the case; TimeoutError with what `told` says then if it never is.

    Looks are a fiftieth of the wait so far apart, within `PAUSES`, or `pause` seconds.
    Ask for all that the test asserts afterwards: half of it, and a busy machine shows the other half.
    """
    began = time.monotonic()
    while not true():
        waited = time.monotonic() - began
        if waited > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {told()}")
        shortest, longest = PAUSES
        time.sleep(min(longest, max(shortest, waited / 50)) if pause is None else pause)
