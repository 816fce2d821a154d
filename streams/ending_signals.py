"""EndingSignals: the signals by which a process is told to end in order.

SIGHUP is one of them: a terminal sends it as it closes, and its default ends a process in mid-answer. It
asks nobody to read a config again. It comes twice then, from the shell and from the kernel, so a second one
never hurries whoever ends.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return SIGTERM, SIGINT, and SIGHUP where it is not ignored, as under nohup."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@contextmanager
def unwinding() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit, as SIGINT raises KeyboardInterrupt: what was begun is put away."""
    heard = [one for one in ending_signals() if one is not signal.SIGINT]
    before = {one: signal.signal(one, _unwind) for one in heard}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _unwind(number: int, _: FrameType | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise SystemExit(128 + number)
