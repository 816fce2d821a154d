"""LogLines: how many lines a process logged, by level, so that errors are seen without reading."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from ...streams.logs import LINES


class LogLines(Collector):
    """Counts of this process; an error that nobody handled is one of level error or critical."""

    def collect(self) -> Iterable[Metric]:
        """Return the series."""
        lines = CounterMetricFamily(
            "rlwd_log_lines",
            "Lines logged, by level; what nobody handled is an error or critical.",
            labels=["level"],
        )
        for level in ("warning", "error", "critical"):
            lines.add_metric([level], LINES[level])
        return [lines]
