"""Bench of swaps: requests through the gateway while versions change under them, and while none does.

The engine and the gateway are those of the bench of the gateway. A swap is what the daemon does: a
new adapter is loaded, its log-probabilities are asked for, the flag file names it, and the version
before the last few is unloaded. One every half second is hundreds of times as often as ever.
"""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from bench_doors import gateway, make_policy, real_engine
from bench_gateway import Door, ask
from bench_table import Line

from rlwd.learner.candidate import version_name
from rlwd.learner.digests import adapter_digest
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.assignment import ServedVersion
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document

STREAMS = 8
SWAP_SECONDS = 0.5
KEPT = 4
"""Versions that stay loaded: those of answers under way among them."""
PROBE = tuple(range(5, 21))
WEIGHTS = "adapter_model.safetensors"


@dataclass(slots=True, kw_only=True)
class Phase:
    """What requests met in one stretch of time."""

    seconds: list[float] = field(default_factory=list)
    """Latency of each answer."""
    failed: int = 0
    """Requests without an answer."""

    @property
    def p99(self) -> float:
        """99th percentile of latency, milliseconds."""
        return 1000 * statistics.quantiles(self.seconds, n=100)[98]


class Swapper:
    """Brings one new version after another before the same people."""

    def __init__(self, engine: str, adapter: Path, flags: Path, first: ServedVersion) -> None:
        self.client, self.adapter, self.flags = HttpEngine(engine), adapter, flags
        self.versions = [first]
        self.count = 0
        self.took: list[float] = []
        self.client.load(first.version, adapter)

    def swap(self) -> None:
        """Load, prove, name, unload."""
        self.count += 1
        began = time.perf_counter()
        version, folder = self._make()
        self.client.load(version.version, folder)
        self.client.logprobs(version.version, PROBE)
        state = FlagState(
            policy="policy",
            generation=1 + self.count,
            salt="bench",
            champion=version,
            anchor=self.versions[0],
            previous=self.versions[-1],
        )
        write_flags(self.flags, to_document(state))
        self.versions.append(version)
        if len(self.versions) > KEPT:
            self.client.unload(self.versions.pop(1).version)
        self.took.append(1000 * (time.perf_counter() - began))

    def _make(self) -> tuple[ServedVersion, Path]:
        """Return a version whose weights differ in one bit, as an update's do in all."""
        folder = self.adapter.parent / f"made-{self.count}"
        shutil.copytree(self.adapter, folder)
        raw = bytearray((folder / WEIGHTS).read_bytes())
        raw[-4:] = self.count.to_bytes(4, "little")
        (folder / WEIGHTS).write_bytes(raw)
        digest = adapter_digest(folder)
        version = ServedVersion(version=version_name("policy", self.count, digest), digest=digest)
        return version, folder.rename(folder.with_name(version.version))


def bench_swaps(*, swaps: int, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure rounds without and with swaps in turns; return the lines of the table."""
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        folder = Path(place)
        model, version, adapter = make_policy(folder, say)
        with real_engine(model, folder) as (engine, name):
            say(f"swaps: {name} is up")
            inner = folder / "swaps"
            with gateway(inner, engine.url, version) as url:
                swapper = Swapper(engine.url, adapter, inner / "state" / "flags.json", version)
                assert engine.process is not None, "the engine runs"
                pid = engine.process.pid
                each = max(1, swaps // rounds)
                return _measure(swapper, Door(url=url, extra={"model": "rlwd"}), each, pid, rounds)


def _measure(swapper: Swapper, door: Door, each: int, pid: int, rounds: int) -> list[Line]:
    calm: list[Phase] = []
    swapping: list[Phase] = []
    memory: list[float] = []
    for number in range(rounds + 1):
        still = asyncio.run(_phase(door, None, each))
        moved = asyncio.run(_phase(door, swapper, each))
        if number == 0:
            # The first round warms both up; memory is flat from here on, or it is not.
            memory, swapper.took = [_resident(pid)], []
            continue
        calm.append(still)
        swapping.append(moved)
        memory.append(_resident(pid))
    return _lines(swapper, calm, swapping, memory)


def _lines(
    swapper: Swapper, calm: list[Phase], swapping: list[Phase], memory: list[float]
) -> list[Line]:
    count = len(swapper.took)
    return [
        Line(
            part="swap",
            what=f"requests that failed in {count} swaps, of {sum(len(p.seconds) for p in swapping)}",
            unit="requests",
            against="",
            ours=(float(sum(phase.failed for phase in swapping)),),
            compare="alone",
            goal=0.0,
            at_least=False,
        ),
        Line(
            part="swap",
            what=f"{STREAMS} at a time, a swap every {SWAP_SECONDS} s: p99",
            unit="ms",
            against="the same without swaps",
            ours=tuple(phase.p99 for phase in swapping),
            theirs=tuple(phase.p99 for phase in calm),
            goal=1.1,
            at_least=False,
        ),
        Line(
            part="swap",
            what=f"the engine's memory after {count} swaps",
            unit="MB",
            against="after the first round",
            ours=(memory[-1],),
            theirs=(memory[0],),
            goal=1.05,
            at_least=False,
        ),
        Line(
            part="swap",
            what="load, prove, name, unload",
            unit="ms",
            against="",
            ours=tuple(swapper.took),
            compare="alone",
        ),
    ]


async def _phase(door: Door, swapper: Swapper | None, swaps: int) -> Phase:
    """Let people ask until the time of so many swaps is over, swapping or not."""
    phase, done = Phase(), asyncio.Event()

    async def person(session: aiohttp.ClientSession) -> None:
        while not done.is_set():
            try:
                phase.seconds.append(await ask(session, door, streamed=True))
            except (RuntimeError, aiohttp.ClientError):
                phase.failed += 1

    async with aiohttp.ClientSession() as session:
        people = [asyncio.create_task(person(session)) for _ in range(STREAMS)]
        due = time.monotonic()
        for _ in range(swaps):
            due += SWAP_SECONDS
            if swapper is not None:
                await asyncio.to_thread(swapper.swap)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        done.set()
        await asyncio.gather(*people)
    return phase


def _resident(pid: int) -> float:
    """Return the resident memory of a process and all that it started, in MB."""
    process = psutil.Process(pid)
    tree = [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in tree) / 1e6
