"""Benchmark suite: refuses a candidate whose answers on a benchmark are worse than the champion's, or v0's."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...learner.candidate import Candidate
from ...rewards.spec.spec import Spec
from ..engine.port import Engine
from ..statistics.gate import GateSettings
from ..statistics.verdict import Verdict, VerdictKind
from .benchmark_file import BenchmarkName, DamagedBenchmark, newest, read_benchmark
from .compared import judge_replay
from .replay import SEEDS_EACH, Replay
from .replay_folder import VersionReplay, read_replay, write_replay
from .replayed import ReplayedAnswer
from .settings import BenchmarkSettings

AT_ONCE_SECONDS = 60.0
"""After so long it says how far it is; the gate asks it to go on."""
REPLAYS = "replays"
"""Below the folder of benchmarks."""


class BenchmarkPlace(NamedTuple):
    """Where benchmarks are, and how they are replayed."""

    folder: Path
    """Of the benchmarks."""
    policy: str
    """Whose."""
    settings: BenchmarkSettings
    """`[benchmark]`."""
    spec: Spec
    """Reward spec: its costs, and the parts that need nobody."""
    measured: tuple[str, ...]
    """Behaviours that the drift watch compares."""

    @property
    def replays(self) -> Path:
        """Where what versions did on them is kept."""
        return self.folder / REPLAYS


class BenchmarkSuite:
    """The gate's suite for one candidate, the champion and v0 beside it. It keeps what was answered."""

    def __init__(self, place: BenchmarkPlace, champion: str, anchor: str) -> None:
        """`anchor` is v0, against which small losses of many versions add up."""
        self.place, self.champion = place, champion
        asked = anchor != champion and bool(place.settings.in_total)
        self.anchor = anchor if asked else ""
        self._replay: tuple[BenchmarkName, Replay] | None = None
        self._said: Verdict | None = None

    def __call__(self, candidate: Candidate, engine: Engine, settings: GateSettings) -> Verdict:
        """Return FAIL where it is worse than the bounds allow, WAIT while requests are left.

        WAIT, too, where there is no benchmark or one that cannot be read, until somebody builds one, and
        NODATA where too few requests of it were taken: the version meets nobody and ends without blame
        at the gate's deadline. Raises ConnectionError or TimeoutError where the engine is away.
        """
        if self._said is not None:
            return self._said
        name = newest(self.place.folder, self.place.settings.name)
        if name is None:
            return _waiting(
                f"there is no benchmark {self.place.settings.name}: `rlwd benchmark build`"
            )
        if self._replay is None or self._replay[0] != name:
            try:
                held = read_benchmark(self.place.folder, name, self.place.policy)
            except ValueError as problem:
                return _waiting(str(problem))
            replay = Replay(held, self.place.settings, self.place.spec, self.place.measured)
            self._replay = name, replay
        return self._judged(candidate, engine, *self._replay)

    def _judged(
        self, candidate: Candidate, engine: Engine, name: BenchmarkName, replay: Replay
    ) -> Verdict:
        told, settings = replay.benchmark.manifest, self.place.settings
        numbers = {
            "benchmark": float(told.number),
            "requests": float(len(replay.benchmark.requests)),
            "age_days": round((time.time() - told.built_at) / 86400.0, 3),
        }
        whole = replay.ask(
            candidate.version,
            self.champion,
            engine,
            seed=(candidate.sequence * SEEDS_EACH) % 2**31,
            seconds=AT_ONCE_SECONDS,
            anchor=self.anchor,
        )
        numbers |= {"refused": float(replay.refused), "answered": float(len(replay.pairs))}
        beside_v0 = sum(one.anchor is not None for one in replay.pairs)
        if not whole:
            said = (
                f"{name.version}: {len(replay.pairs)} requests are answered, and the engine is busy"
            )
            return Verdict(outcome=VerdictKind.WAIT, reasons=(said,), numbers=numbers)
        if len(replay.pairs) < settings.least:
            said = (
                f"{name.version}: only {len(replay.pairs)} requests were taken by the engine, of at"
                f" least {settings.least}"
            )
            return Verdict(outcome=VerdictKind.NODATA, reasons=(said,), numbers=numbers)
        if self.anchor and beside_v0 < settings.least:
            said = (
                f"{name.version}: v0 answered only {beside_v0} requests, of at least {settings.least}: small"
                " losses would add up unseen (`benchmark.total = 0` does without it)"
            )
            return Verdict(outcome=VerdictKind.NODATA, reasons=(said,), numbers=numbers)
        total = settings.in_total if self.anchor else None
        verdict = judge_replay(replay.pairs, settings.bounded, settings.alpha, total)
        self._keep(candidate.version, name, replay)
        self._said = msgspec.structs.replace(
            verdict,
            reasons=tuple(f"{name.version}: {one}" for one in verdict.reasons),
            numbers={**numbers, **verdict.numbers},
        )
        return self._said

    def _keep(self, version: str, name: BenchmarkName, replay: Replay) -> None:
        """Keep what each did, for the comparison with production; of champion and v0 only the first."""
        folder, pairs = self.place.replays, replay.pairs
        write_replay(folder, self._kept(version, name, [one.ours for one in pairs]))
        others = {self.champion: [one.theirs for one in pairs]}
        if self.anchor:
            others[self.anchor] = [one.anchor for one in pairs if one.anchor is not None]
        for other, answers in others.items():
            before = read_replay(folder, other)
            if before is None or before.benchmark != name.version:
                write_replay(folder, self._kept(other, name, answers))

    def _kept(
        self, version: str, name: BenchmarkName, answers: Sequence[ReplayedAnswer]
    ) -> VersionReplay:
        return VersionReplay(
            version=version,
            benchmark=name.version,
            at=time.time(),
            limit=self.place.settings.answer_tokens,
            answers=tuple(answers),
        )


def _waiting(said: str) -> Verdict:
    return Verdict(outcome=VerdictKind.WAIT, reasons=(said,))


def due(folder: Path, name: str, refresh_days: float, now: float, policy: str) -> str:
    """Return why a benchmark is to be drawn anew; nothing where it is not.

    Raises ValueError where the file is another policy's.
    """
    found = newest(folder, name)
    if found is None:
        return "there is none"
    try:
        days = (now - read_benchmark(folder, found, policy).manifest.built_at) / 86400.0
    except DamagedBenchmark as problem:
        return str(problem)
    return f"{found.version} is {days:.1f} days old" if days >= refresh_days else ""
