"""Bench of yielding: people's requests and a learner on the same cores, with pauses for them and without.

Gateway, engine and learner are processes of their own, as in a small deployment, and the daemon's part is
done here by the daemon's own objects. Three ways take turns: the learner stands still, it works and does
not make way, it works and does; the bound of a round is between what people waited in the two before. The
learner is not niced: on two cores that alone keeps it out of people's way, and where learner and engine
share a GPU, or the bandwidth of a memory, it does nothing.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import msgspec
from bench_batch import make_batch
from bench_doors import gateway, make_policy
from bench_gateway import Door, ask
from bench_table import Line

from rlwd.daemon.control.making_way import LASTS_SECONDS, MakingWay
from rlwd.learner.process.protocol import Apply, Asking, StepsDone, TrafficSlow
from rlwd.learner.process.supervisor import LearnerSupervisor
from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings
from rlwd.learner.yield_settings import YieldSettings
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.gateway_report import read_reports
from rlwd.ops.servers.embedded_server import EmbeddedServer

ROUND_SECONDS = 25.0
"""Of each way: more than twice the window over which a gateway's requests are looked at."""
PEOPLE = 4
"""Who ask one after another, all the time."""
STEP = 2
"""Answers of a step: what is counted are whole steps, so many of them have to fit into a round."""
TOKENS = 200
"""Of each answer of a step, prompt and completion."""
THREADS = 2
"""Of the learner: as many as small machines have cores."""
FLAGS = Path("state/flags.json")
STILL, WAY, NO_WAY = "still", "way", "no way"


class BusyLearner:
    """A learner's process in a batch that takes longer than the bench."""

    def __init__(self, model: Path, folder: Path) -> None:
        settings = LearnerSettings(
            model=str(model),
            device="cpu",
            lora_rank=8,
            learning_rate=1e-9,
            ess_floor=0.0,
            estimator="tracker",
            passes=1000,
            nice=0,
            threads=THREADS,
            minibatch_episodes=STEP,
            pack_tokens=4 * TOKENS,
            rows_per_forward=1,
            # The bound is found anew in each round, and said by this side of the pipe.
            yielding=YieldSettings(above_seconds=1.0, batch_seconds=86_400.0),
        )
        self.child = LearnerSupervisor(
            LearnerProcessSettings(
                learner=settings, policy="policy", folder=str(folder / "learner"), lease_epoch=1
            ),
            folder,
        )
        self.batch = folder / "000001.json"
        self.batch.write_bytes(msgspec.json.encode(make_batch("even", 256, TOKENS // 2)))
        self.steps = 0
        self.child.ensure(0.0)

    def hear(self) -> None:
        """Count the steps made since the last call. Raises RuntimeError where the learner died."""
        if not self.child.alive:
            raise RuntimeError("the learner died: its lines above say why")
        for report in self.child.reports():
            if isinstance(report, Asking):
                self.child.send(Apply(path=str(self.batch)))
            self.steps += isinstance(report, StepsDone)


def bench_yield(*, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure the three ways in turns; the first round warms up."""
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        folder = Path(place)
        model, version, adapter = make_policy(folder, say)
        with EmbeddedServer(model, folder) as engine:
            client = HttpEngine(engine.url)
            client.load(version.version, adapter)
            client.close()
            with gateway(folder / "shared", engine.url, version) as url:
                learner = BusyLearner(model, folder)
                try:
                    return asyncio.run(_measured(url, folder, learner, rounds, say))
                finally:
                    learner.child.stop(10.0)


async def _measured(
    url: str, folder: Path, learner: BusyLearner, rounds: int, say: Callable[[str], None]
) -> list[Line]:
    while not learner.steps:
        learner.hear()
        await asyncio.sleep(0.1)
    making_way = MakingWay(learner.child)
    flags = folder / "shared" / FLAGS
    p95s: dict[str, list[float]] = {way: [] for way in (STILL, NO_WAY, WAY)}
    rates: dict[str, list[float]] = {way: [] for way in p95s}
    for number in range(rounds + 1):
        found = dict[str, float]()
        for way in (STILL, NO_WAY, WAY):
            if way == WAY:
                making_way.above_seconds = (found[STILL] + found[NO_WAY]) / 2
                say(f"yield: learner.yielding.above_seconds = {making_way.above_seconds:.4f}")
            found[way], rate = await _round(url, learner, flags, making_way, way)
            say(f"yield: {way}: p95 {1000 * found[way]:.1f} ms, {rate:.0f} tokens/s")
            if number:  # the first one warms up
                p95s[way].append(1000 * found[way])
                rates[way].append(rate)
    return _lines(p95s, rates)


async def _round(
    url: str, learner: BusyLearner, flags: Path, making_way: MakingWay, way: str
) -> tuple[float, float]:
    """Return the 95th percentile of the requests of one way, seconds, and the learner's tokens a second."""
    over, seconds = asyncio.Event(), list[float]()

    async def person(session: aiohttp.ClientSession) -> None:
        while not over.is_set():
            seconds.append(await ask(session, Door(url=url, extra={"model": "rlwd"}), False))

    learner.child.send(TrafficSlow(seconds=0.0))
    async with aiohttp.ClientSession() as session:
        people = [asyncio.create_task(person(session)) for _ in range(PEOPLE)]
        learner.hear()
        began, before = time.monotonic(), learner.steps
        while time.monotonic() - began < ROUND_SECONDS:
            if way == STILL:
                learner.child.send(TrafficSlow(seconds=LASTS_SECONDS))
            if way == WAY:
                making_way.step(read_reports(flags), time.time())
            await asyncio.sleep(0.25)
        learner.hear()
        rate = (learner.steps - before) * STEP * TOKENS / (time.monotonic() - began)
        over.set()
        await asyncio.gather(*people)
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], rate


def _lines(p95s: dict[str, list[float]], rates: dict[str, list[float]]) -> list[Line]:
    def line(what: str, unit: str, values: dict[str, list[float]], against: str, way: str) -> Line:
        return Line(
            part="yield",
            what=what,
            unit=unit,
            against=against,
            ours=tuple(values[WAY]),
            theirs=tuple(values[way]),
        )

    asked = f"{PEOPLE} at a time beside a learner that makes way: p95"
    return [
        line(asked, "ms", p95s, "beside one that does not", NO_WAY),
        line(asked, "ms", p95s, "beside one that stands still", STILL),
        line("the learner's tokens, making way", "tokens/s", rates, "not making way", NO_WAY),
    ]
