"""Scale: from values to places in a chart, with ticks at round values."""

import math
from dataclasses import dataclass

from .words import duration

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TIMES = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight line from [low, high] to [start, end], in the units of a chart."""

    low: float
    """Least value shown."""
    high: float
    """Greatest value shown; above `low`."""
    start: float
    """Place of `low`."""
    end: float
    """Place of `high`."""

    def at(self, value: float) -> float:
        """Return a value's place; one outside is put at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most about `most` round values from low to high.

    >>> round_ticks(-0.12, 0.12, 5)
    [-0.1, -0.05, 0.0, 0.05, 0.1]
    """
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = size * next(one for one in STEPS if one * size >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def time_ticks(seconds: float, most: int) -> list[tuple[float, str]]:
    """Return times since the start with their words.

    >>> time_ticks(7200.0, 2)
    [(0.0, '0'), (3600.0, '60 min'), (7200.0, '2 h')]
    """
    step = next((one for one in TIMES if seconds / one <= most), None)
    if step is None:
        step = TIMES[-1] * math.ceil(seconds / TIMES[-1] / most)
    return [
        (float(n * step), duration(n * step) if n else "0") for n in range(int(seconds / step) + 1)
    ]
