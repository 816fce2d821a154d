"""Host metrics: the process, its Python, its log lines, and the disks that it writes to."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
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
        for level in ("info", "warning", "error", "critical"):
            lines.add_metric([level], LINES[level])
        return [lines]


class Disks(Collector):
    """Room on the disks of some folders, asked when the page is; a folder that is gone shows nothing."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """`folders` are by the name that the label has."""
        self.folders = folders

    def collect(self) -> Iterable[Metric]:
        """Return the series of now."""
        free = GaugeMetricFamily(
            "rlwd_disk_free_bytes",
            "Room that is left to this process on the disk of a folder.",
            labels=["folder"],
        )
        size = GaugeMetricFamily(
            "rlwd_disk_size_bytes", "Size of the disk of a folder.", labels=["folder"]
        )
        for name, folder in self.folders.items():
            try:
                disk = os.statvfs(folder)
            except OSError:
                continue
            free.add_metric([name], disk.f_bavail * disk.f_frsize)
            size.add_metric([name], disk.f_blocks * disk.f_frsize)
        return [free, size]


def show_host(registry: CollectorRegistry, folders: Mapping[str, Path]) -> None:
    """Show of this process what every process of rlwd shows."""
    # When a counter was made says nothing that the process's own start does not.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry.register(LogLines())
    registry.register(Disks(folders))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
