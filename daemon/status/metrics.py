"""Metrics: what the daemon shows to Prometheus (docs/metrics.md).

Bounded labels only: a policy version stands on the info gauge and on nothing else.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram

from .answer_metrics import ANSWERS
from .host_metrics import show_host
from .reading_metrics import READINGS
from .release_metrics import RELEASE
from .series import Series, SeriesTable, Shown

LOOP = (
    Series(
        "rlwd_last_turn_timestamp_seconds",
        "When the loop last turned: one that hangs falls behind.",
    ),
    Series(
        "rlwd_spans_total",
        "OpenTelemetry spans of this process, by whether a collector took them (docs/telemetry.md).",
        ("outcome",),
    ),
    Series(
        "rlwd_problem",
        "1 for what is not as it should be, 0 for the other things that could be (docs/runbook.md).",
        ("name",),
    ),
)
"""What is shown of the loop itself."""


class Metrics:
    """The daemon's series, `rlwd_` first, base units, in a registry of their own."""

    def __init__(self, folders: Mapping[str, Path] | None = None) -> None:
        """`folders` are those whose disks are shown, by name."""
        self.registry = CollectorRegistry()
        self._table = SeriesTable((*LOOP, *ANSWERS, *RELEASE, *READINGS))
        self.registry.register(self._table)
        self._tick = Histogram(
            "rlwd_tick_seconds",
            "One turn of the loop, without waiting for records.",
            registry=self.registry,
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
        )
        show_host(self.registry, folders or {})

    def show(self, *values: Shown) -> None:
        """Take the values of now; each series that is named is replaced as a whole."""
        for one in values:
            self._table.show(one)

    def ticked(self, seconds: float) -> None:
        """Count one turn of the loop."""
        self._tick.observe(seconds)

    def turned(self, problems: Mapping[str, str | None]) -> None:
        """Show that the loop turns, and what is not as it should be, by the names that /readyz has."""
        self._table.show(
            {
                "rlwd_last_turn_timestamp_seconds": time.time(),
                "rlwd_problem": {name: int(said is not None) for name, said in problems.items()},
            }
        )
