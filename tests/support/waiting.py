"""Waiting in tests: for the state that is asserted next, and never for a time."""

import time
from collections.abc import Callable


def until(
    true: Callable[[], object],
    seconds: float = 180.0,
    *,
    pause: float = 0.02,
    told: Callable[[], str] = lambda: "it never came true",
) -> None:
    """Return once something is the case; TimeoutError with what `told` says then if it never is.

    Ask for all that the test asserts afterwards: half of it, and a busy machine shows the other half.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {told()}")
        if pause:
            time.sleep(pause)
