"""Benchmark runs: what the commands of `rlwd benchmark` do."""

import os
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ...ops.benchmark.benchmark_file import (
    FOLDER,
    BenchmarkName,
    benchmark_names,
    newest,
    read_benchmark,
)
from ...ops.benchmark.benchmark_suite import REPLAYS, due
from ...ops.benchmark.build import BenchmarkSource, TooFew, build_benchmark
from ...ops.benchmark.build import retire as retire_benchmark
from ...ops.benchmark.replay_folder import VersionReplay, replays
from ...rewards.spec.spec import reward_spec
from ...streams.state.file_lock import FileLocked, lock_file
from ..config import Config
from ..shown_json import shown_json
from ..store import existing_store

NAME = "sessions"
"""Of a benchmark where nobody gives one."""
LOCK = "benchmark.lock"
"""In the state folder, and not in that of the benchmarks: that this one is there says whose they are."""


def run_build(
    config: Config, name: str, *, size: int | None, segments: tuple[str, ...], if_due: bool
) -> int:
    """Build a version and print its manifest; return 1, with nothing written, where too few may be drawn.

    One at a time: two would both be the next version, and each would let the other's people go.
    """
    existing_store(config).close()  # Says so where there is none, before anything is made.
    config.state_path.mkdir(parents=True, exist_ok=True)
    try:
        held = lock_file(config.state_path / LOCK)
    except FileLocked as other:
        print(f"process {other.holder} draws one; nothing was done here", file=sys.stderr)
        return 0 if if_due else 1
    try:
        return _run_build(config, name, size, segments, if_due)
    finally:
        os.close(held)


def _run_build(
    config: Config, name: str, size: int | None, segments: tuple[str, ...], if_due: bool
) -> int:
    name, folder, now = (
        name or config.benchmark.name or NAME,
        config.state_path / FOLDER,
        time.time(),
    )
    settings = config.benchmark
    settings = msgspec.structs.replace(
        settings,
        name=name,
        size=size or settings.size,
        segments=segments or settings.segments,
    )
    if if_due:
        why = due(folder, name, settings.refresh_days, now, config.policy)
        if not why:
            print(f"{name} is not due", file=sys.stderr)
            return 0
        print(why, file=sys.stderr)
    store = existing_store(config)
    source = BenchmarkSource(
        store=store,
        policy=config.policy,
        folder=folder,
        settings=settings,
        privacy=config.privacy,
        spec_version=reward_spec(config.reward_spec).version,
        retention_days=config.retention_days,
    )
    try:
        written, built = build_benchmark(source, name, now)
    except TooFew as problem:
        print(f"nothing is written: {problem}", file=sys.stderr)
        return 1
    finally:
        store.close()
    _print({"version": written.version, **msgspec.to_builtins(built.manifest)})
    return 0


def print_list(config: Config, *, as_json: bool) -> None:
    """Print every benchmark with its age, its people and its segments."""
    folder, rows = config.state_path / FOLDER, list[dict[str, Any]]()
    for name in benchmark_names(folder):
        try:
            told = read_benchmark(folder, name, config.policy).manifest
        except ValueError as problem:
            rows.append({"version": name.version, "problem": str(problem)})
            continue
        rows.append(
            {
                "version": name.version,
                "built": _date(told.built_at),
                "expires": _date(told.expires_at),
                "people": told.people,
                "segments": told.segments,
                "gate": name == newest(folder, config.benchmark.name),
            }
        )
    if as_json:
        _print({"benchmarks": rows})
        return
    table = Table("version", "built", "expires", "people", "requests", "gate")
    for one in rows:
        if "problem" in one:
            table.add_row(one["version"], one["problem"])
            continue
        requests = ", ".join(f"{kind} {many}" for kind, many in one["segments"].items())
        gate = "yes" if one["gate"] else ""
        table.add_row(
            one["version"], one["built"], one["expires"], str(one["people"]), requests, gate
        )
    Console().print(table)


def print_one(config: Config, which: str) -> None:
    """Print a manifest, and by version what was measured on this benchmark."""
    folder = config.state_path / FOLDER
    name = _named(config, which)
    told = read_benchmark(folder, name, config.policy).manifest
    done = {
        one.version: _means(one)
        for one in replays(folder / REPLAYS)
        if one.benchmark == name.version
    }
    _print({"version": name.version, **msgspec.to_builtins(told), "replays": done})


def run_retire(config: Config, which: str) -> None:
    """Remove a benchmark, and say so."""
    name, store = _named(config, which), existing_store(config)
    try:
        retire_benchmark(store, config.policy, config.state_path / FOLDER, name)
    finally:
        store.close()
    print(f"{name.version} is gone; its people are learned of again")


def _named(config: Config, which: str) -> BenchmarkName:
    """Return the benchmark that is meant; raises ValueError naming those that there are."""
    folder = config.state_path / FOLDER
    found = [one for one in benchmark_names(folder) if which in (one.version, one.name)]
    if not found:
        there = ", ".join(one.version for one in benchmark_names(folder)) or "none"
        raise ValueError(f"there is no benchmark {which}; there are: {there}")
    return found[-1]


def _means(replay: VersionReplay) -> dict[str, float]:
    """Return what a version did, on average."""
    told = defaultdict[str, list[float]](list)
    for one in replay.answers:
        for name, value in one.behaviours.items():
            told[name].append(value)
        for name, number in (("tokens", one.tokens), ("worth", one.worth), ("taken", one.taken)):
            if number is not None:
                told[name].append(number)
        told["seconds"].append(one.seconds)
        told["empty"].append(float(one.empty))
    return {name: round(sum(each) / len(each), 4) for name, each in sorted(told.items())}


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _print(document: Any) -> None:
    print(shown_json(document))
