"""Keeping: what erasure and retention take out of benchmarks."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from ...learner.benchmark_people import (
    forget_people,
    has_people,
    put_people,
    versions_with_people,
)
from ...streams.state.bulk import by_ids
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from .benchmark_file import (
    Benchmark,
    BenchmarkName,
    DamagedBenchmark,
    benchmark_names,
    newest,
    path_of,
    read_benchmark,
    remove_benchmark,
    write_benchmark,
)
from .build import retire

log = structlog.get_logger()

BUILD_SECONDS = 600.0
"""A build takes less between its file and its people."""


def keep_benchmarks(store: Store, policy: str, folder: Path, now: float) -> list[str]:
    """Take out of every benchmark what the state holds no more; return the versions that were written.

    A request stays for as long as its record: one of an erased person, or that retention forgot, is in no
    benchmark. The version without it is a new one, and the old file is written over. One that is over its
    time, or has no request left, goes as a whole; so does a damaged one, of which nobody can tell, one that
    a newer one took the place of, and one whose people a crash left out of the tables. People of whom the
    file is gone, since a crash came between the two, are learned of again.
    """
    made = []
    _let_go(store, policy, folder)
    for name in benchmark_names(folder):
        try:
            held = read_benchmark(folder, name, policy)
        except DamagedBenchmark as problem:
            log.error("benchmark_removed", benchmark=name.version, problem=str(problem))
            retire(store, policy, folder, name)
            continue
        except ValueError:
            continue  # Of another policy.
        if name != newest(folder, name.name) or _is_orphan(store, policy, folder, name):
            retire(store, policy, folder, name)
        elif held.manifest.expires_at <= now:
            log.warning("benchmark_expired", benchmark=name.version)
            retire(store, policy, folder, name)
        elif (after := _without(store, policy, folder, held)) is not None:
            remove_benchmark(folder, name)
            made += [after.version] if after else []
    return made


def _let_go(store: Store, policy: str, folder: Path) -> None:
    """Let people go whose benchmark is no more. Where no folder is, another machine has it."""
    if not folder.exists():
        return
    with store.transaction() as tx:
        # Before the files are listed: a build writes its file first.
        kept = versions_with_people(tx, policy)
        there = {(one.name, one.number) for one in benchmark_names(folder)}
        for name, number in sorted(kept - there):
            log.warning("benchmark_people_let_go", benchmark=name, number=number)
            forget_people(tx, policy, name, number)


def _is_orphan(store: Store, policy: str, folder: Path, name: BenchmarkName) -> bool:
    """Return whether a build ended between its file and its people: nobody is kept out of training."""
    with store.reading() as view:
        if has_people(view, policy, name.name, name.number):
            return False
    # Where it is a moment old the build may be under way.
    return time.time() - path_of(folder, name).stat().st_mtime > BUILD_SECONDS


def _without(
    store: Store, policy: str, folder: Path, held: Benchmark
) -> BenchmarkName | tuple[()] | None:
    """Return the version without what is forgotten; () where nothing is left, None where all is held."""
    told, ids = held.manifest, [one.generation_id for one in held.requests]
    with store.transaction() as tx:
        there = _owners(tx, policy, ids)
        left = tuple(one for one in held.requests if one.generation_id in there)
        if len(left) == len(held.requests):
            return None
        forget_people(tx, policy, told.name, told.number)
        if not left:
            return ()
        last = newest(folder, told.name)
        assert last is not None
        manifest = msgspec.structs.replace(
            told,
            number=last.number + 1,
            without=told.without or told.number,
            forgotten=told.forgotten + len(ids) - len(left),
            people=len({one.person for one in left}),
        )
        written = write_benchmark(folder, Benchmark(manifest=manifest, requests=left))
        put_people(tx, policy, told.name, manifest.number, there.values())
    return written


def _owners(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the user of each of these answers whose content is held."""
    found = dict[str, str]()
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, user_hash FROM episodes WHERE policy = ? AND content IS NOT NULL"
            f" AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        found |= dict(rows)
    return found
