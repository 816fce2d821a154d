"""Benchmark file: requests of real sessions with a manifest, in a file that never changes.

`NAME@000002-3fa9c2e1.json`: the name, the version's number, the first digits of the SHA-256 of its bytes.
What was erased or is too old makes another file, and this one goes.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...streams.events.generation import Sampling, TokenId
from ...streams.events.input_message import InputMessage
from ...streams.events.tool_use import OfferedTool
from ...streams.state.durable import fsync, replace_file

FOLDER = "benchmarks"
"""Below the state folder."""
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})@(\d{6})-([0-9a-f]{8})")


class BenchmarkRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One request as a version reads it, and what a person took as its answer."""

    generation_id: str
    """The answer that they were given."""
    person: int
    """Whose it is, by a number of this benchmark's own."""
    segment: str
    """Kind of work."""
    prompt_token_ids: tuple[TokenId, ...]
    """The whole conversation so far, its tools too, as the model read it."""
    input: tuple[InputMessage, ...] = ()
    """What was said since the last answer: behaviours read it."""
    earlier_answers: int = 0
    """Answers in the conversation."""
    tools: tuple[OfferedTool, ...] = ()
    """Tools that were offered."""
    sampling: Sampling = Sampling()
    """How it was drawn."""
    taken_token_ids: tuple[TokenId, ...] = ()
    """The answer's tokens, where the person accepted it."""
    edited_to: str = ""
    """What they made of it, where they edited it and their own words may be learned from."""


class BenchmarkManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a benchmark came about."""

    name: str
    """Its name."""
    number: int
    """Its version's."""
    policy: str
    """Whose requests they are."""
    spec_version: str
    """Reward spec at the time."""
    built_at: float
    """When it was built, epoch seconds."""
    since: float
    """When the first of the requests was received."""
    until: float
    """When the last was."""
    expires_at: float
    """When retention forgets the first, and this file goes."""
    people: int
    """People whose requests they are."""
    seen_people: int
    """People of the time that it was drawn from."""
    learned_of: int
    """Of its people those of whom something had been trained on before; not these requests."""
    segments: Mapping[str, int]
    """Requests by segment."""
    production: Mapping[str, float]
    """Share of each segment in the time that it was drawn from."""
    refused: Mapping[str, int]
    """Answers that were not drawn, by why."""
    overlap: Mapping[str, float]
    """What was looked for in what was trained on: see docs/benchmark.md."""
    shared: Mapping[str, float]
    """The version before it: `number`, and how many of its `requests` stand here too."""
    settings: Mapping[str, Any]
    """`[benchmark]` at the time."""
    without: int = 0
    """The version that this one is but for what was forgotten since; 0 where it was drawn."""
    forgotten: int = 0
    """Requests that are here no more."""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A whole benchmark."""

    manifest: BenchmarkManifest
    """How it came about."""
    requests: tuple[BenchmarkRequest, ...]
    """In the order of their ids."""


class BenchmarkName(NamedTuple):
    """What the name of a file says."""

    name: str
    """The benchmark's."""
    number: int
    """The version's."""
    digest: str
    """First 8 hex digits of the SHA-256 of its bytes."""

    @property
    def version(self) -> str:
        """As it is called: `support@000002-3fa9c2e1`."""
        return f"{self.name}@{self.number:06d}-{self.digest}"


class DamagedBenchmark(ValueError):
    """A file whose bytes are not those that were written."""


_DECODE = msgspec.json.Decoder(Benchmark).decode
_ENCODE = msgspec.json.Encoder(order="deterministic").encode


def benchmark_names(folder: Path, name: str = "") -> list[BenchmarkName]:
    """Return the benchmarks of a folder, the newest of each name last; of one name where it is given."""
    found = []
    for path in folder.glob("*.json") if folder.exists() else ():
        said = _NAMED.fullmatch(path.stem)
        if said is not None and name in ("", said[1]):
            found.append(BenchmarkName(said[1], int(said[2]), said[3]))
    return sorted(found)


def newest(folder: Path, name: str) -> BenchmarkName | None:
    """Return the newest version of a benchmark; None where there is none."""
    found = benchmark_names(folder, name)
    return found[-1] if found else None


def path_of(folder: Path, name: BenchmarkName) -> Path:
    """Return where a benchmark is."""
    return folder / f"{name.version}.json"


def read_benchmark(folder: Path, name: BenchmarkName, policy: str) -> Benchmark:
    """Read a benchmark.

    Raises ValueError, naming the file: DamagedBenchmark where it is that, another where it is another
    policy's.
    """
    path = path_of(folder, name)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:8] != name.digest:
            raise ValueError("its bytes are not those that it is named after")
        found = _DECODE(content)
    except (OSError, ValueError) as problem:
        raise DamagedBenchmark(f"{path}: is damaged: {problem}; build it anew") from problem
    if found.manifest.policy != policy:
        raise ValueError(f"{path}: is of the policy {found.manifest.policy}, and not of {policy}")
    return found


def write_benchmark(folder: Path, benchmark: Benchmark) -> BenchmarkName:
    """Write a benchmark, for its owner alone; on the disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    content = _ENCODE(benchmark)
    digest = hashlib.sha256(content).hexdigest()[:8]
    name = BenchmarkName(benchmark.manifest.name, benchmark.manifest.number, digest)
    replace_file(path_of(folder, name), content)
    return name


def remove_benchmark(folder: Path, name: BenchmarkName) -> None:
    """Write over a benchmark's bytes and remove it; harmless where it is gone."""
    path = path_of(folder, name)
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            fsync(path)
    except FileNotFoundError:
        return
    path.unlink()
    fsync(folder)
