"""Bench of the gateway: the same requests to the engine directly and through it, in turns.

The gateway is a process of its own with a flag file, a spool and the embedded log, as in a small
deployment. The engine is a real vLLM with a tiny policy and its zero adapter where vLLM is
installed, else the embedded one. A fake engine that answers at once shows the gateway's own cost.
Engine, gateway and client share this machine's cores, so throughput pays for all three.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from bench_doors import fake_engine, gateway, make_policy, real_engine
from bench_engine import TOKENS
from bench_table import Line

from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.assignment import ServedVersion

STREAMS = 32
ALONE, TOGETHER = 16, 96
"""Requests of a round through each door: one at a time, and 32 at a time."""
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "reply: invoice"}],
    "max_tokens": TOKENS,
    "temperature": 1.0,
    "ignore_eos": True,
    "user": "u1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way to the same weights."""

    url: str
    """Where requests go."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What its requests say beyond the others'."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What the rounds gave for one door: one value for each."""

    each: list[float] = field(default_factory=list)
    """Latency of every request in the order asked, milliseconds; not one for each round."""
    p50: list[float] = field(default_factory=list)
    """Median latency, milliseconds."""
    p95: list[float] = field(default_factory=list)
    """95th percentile of latency, milliseconds."""
    rate: list[float] = field(default_factory=list)
    """Requests a second."""

    def add(self, seconds: list[float], wall: float) -> None:
        """Take in one round."""
        self.each += [1000 * each for each in seconds]
        ordered = sorted(seconds)
        self.p50.append(1000 * statistics.median(ordered))
        self.p95.append(1000 * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))])
        self.rate.append(len(ordered) / wall)


def bench_gateway(*, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure the gateway before a real and before a fake engine; return the lines."""
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        folder = Path(place)
        model, version, adapter = make_policy(folder, say)
        lines: list[Line] = []
        with real_engine(model, folder) as (engine, name):
            say(f"gateway: {name} is up")
            client = HttpEngine(engine.url)
            client.load(version.version, adapter)
            client.close()
            lines += _measure(folder / "real", engine.url, name, version, rounds, say)
        with fake_engine(folder) as engine:
            say("gateway: the fake engine is up")
            fake = _measure(folder / "fake", engine, "a fake engine", version, rounds, say)
            lines += [line for line in fake if "p95" not in line.what]
        return lines


def _measure(
    folder: Path,
    engine: str,
    name: str,
    version: ServedVersion,
    rounds: int,
    say: Callable[[str], None],
) -> list[Line]:
    asked = {"logprobs": True, "top_logprobs": 0, "return_token_ids": True}
    with gateway(folder, engine, version) as url:
        doors = {
            "direct": Door(url=engine, extra={"model": version.version}),
            "asking": Door(url=engine, extra={"model": version.version, **asked}),
            "gateway": Door(url=url, extra={"model": "rlwd"}),
        }
        lines: list[Line] = []
        for streamed in (True, False):
            kind = "streamed" if streamed else "whole"
            say(f"gateway: {kind} answers of {name}")
            alone, together = asyncio.run(_rounds(doors, streamed, rounds))
            lines += _lines(f"{kind}, 1 at a time", name, alone, alone=True)
            lines += _lines(f"{kind}, {STREAMS} at a time", name, together, alone=False)
        return lines


def _lines(what: str, name: str, taken: dict[str, Taken], *, alone: bool) -> list[Line]:
    ours, theirs, asking = taken["gateway"], taken["direct"], taken["asking"]
    alike = f"{name}, asked for log-probabilities too"
    # Promised are the latency that one person sees and the throughput of many.
    real = "fake" not in name

    def line(what: str, ours: list[float], theirs: list[float], **more: Any) -> Line:
        given = {"part": "gateway", "against": f"{name}, direct", **more}
        return Line(what=what, ours=tuple(ours), theirs=tuple(theirs), **given)

    latency = {"unit": "ms", "compare": "added", "at_least": False, "goal": 3.0 if real else None}
    if alone:
        # Request by request: each is compared with the one that went directly a moment before.
        lines = [line(f"{what}: p50", ours.each, theirs.each, **latency)]
        lines.append(
            line(f"{what}: p50", ours.each, asking.each, against=alike, **{**latency, "goal": None})
        )
    else:
        lines = [line(f"{what}: p50", ours.p50, theirs.p50, **latency)]
    lines.append(line(f"{what}: p95", ours.p95, theirs.p95, **{**latency, "goal": None}))
    if not alone:
        unit = "requests/s"
        lines += [
            line(what, ours.rate, theirs.rate, unit=unit, goal=0.97 if real else None),
            line(what, ours.rate, asking.rate, unit=unit, against=alike),
        ]
    return lines


async def _rounds(
    doors: dict[str, Door], streamed: bool, rounds: int
) -> tuple[dict[str, Taken], dict[str, Taken]]:
    """Ask through all doors in turns; the first round warms up and does not count."""
    alone = {name: Taken() for name in doors}
    together = {name: Taken() for name in doors}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        for number in range(rounds + 1):
            seconds: dict[str, list[float]] = {name: [] for name in doors}
            for _ in range(ALONE):
                for name, door in doors.items():
                    seconds[name].append(await ask(session, door, streamed))
            for name, door in doors.items():
                began = time.perf_counter()
                many = await _crowd(session, door, streamed)
                wall = time.perf_counter() - began
                if number:
                    together[name].add(many, wall)
                    alone[name].add(seconds[name], sum(seconds[name]))
    return alone, together


async def _crowd(session: aiohttp.ClientSession, door: Door, streamed: bool) -> list[float]:
    left = iter(range(TOGETHER))

    async def one() -> list[float]:
        return [await ask(session, door, streamed) for _ in left]

    return [
        each for some in await asyncio.gather(*(one() for _ in range(STREAMS))) for each in some
    ]


async def ask(session: aiohttp.ClientSession, door: Door, streamed: bool) -> float:
    """Ask once and read all of the answer; return how many seconds it took."""
    raw = orjson.dumps({**BODY, **door.extra, "stream": streamed})
    headers = {"Content-Type": "application/json"}
    began = time.perf_counter()
    async with session.post(door.url + CHAT, data=raw, headers=headers) as response:
        content = await response.read()
    took = time.perf_counter() - began
    if response.status != 200 or b'"error"' in content:
        raise RuntimeError(f"{door.url}: {response.status}: {content[:300]!r}")
    return took
