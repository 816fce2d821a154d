"""Benchmark check of the doctor: the one that the gate replays is there, sound and not too old."""

import time
from collections.abc import Iterator

from ...ops.benchmark.benchmark_file import FOLDER
from ...ops.benchmark.benchmark_suite import due
from ..config import Config
from .doctor_finding import Finding, ok, warn


def check_benchmark(config: Config) -> Iterator[Finding]:
    """Say whether the named benchmark is to be built anew; nothing where none is named."""
    settings, folder = config.benchmark, config.state_path / FOLDER
    if not settings.name:
        return
    what = f"benchmark {settings.name}"
    if settings.refresh_days >= config.retention_days:
        yield warn(
            what,
            f"benchmark.refresh_days {settings.refresh_days:g} is not below retention_days"
            f" {config.retention_days:g}: nothing may be drawn for so long",
            "lower it",
        )
    try:
        why = due(folder, settings.name, settings.refresh_days, time.time(), config.policy)
    except ValueError as problem:
        yield warn(what, str(problem), "build it under this policy: no version passes the gate")
        return
    if why:
        remedy = f"`rlwd benchmark build --name {settings.name}`; without one no version passes"
        yield warn(what, why, remedy)
    else:
        yield ok(what, "is there")
