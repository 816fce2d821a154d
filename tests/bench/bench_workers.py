"""Bench of workers: answers a second through one gateway of one worker and of several, whole and streamed.

Beside it, in turns and on the same fake engine, the bare engine, a proxy of the gateway's HTTP library that
only passes bytes on, and LiteLLM's proxy where its `litellm` is installed (`pip install 'litellm[proxy]'`, on
the PATH or named by RLWD_LITELLM). Clients are
processes of their own, as many as ask for a core, so that no side waits for them alone; all share the
machine's cores, and with few of them more workers take cores from engine and clients.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
from bench_doors import fake_engine, gateway
from bench_gateway import BODY, CHAT
from bench_table import Line

from rlwd.ops.flags.assignment import ServedVersion
from rlwd.ops.servers.process import LOOPBACK, Server, answers, free_port

STREAMS, CLIENTS, REQUESTS = 16, 2, 800
"""At a time in all, processes that ask, and requests of a round."""
DIGEST = "ab" * 32
VERSION = ServedVersion(version=f"policy@v000000-{DIGEST[:8]}", digest=DIGEST)
LITELLM = """\
model_list:
  - model_name: rlwd
    litellm_params:
      model: openai/{model}
      api_base: {engine}/v1
      api_key: none
"""


@dataclass(slots=True, kw_only=True)
class Way:
    """One way to the engine."""

    url: str
    """Where requests go."""
    model: str = "rlwd"
    """What they ask for."""
    rates: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    """Answers a second of each round, by whether they were streamed."""


def bench_workers(*, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure all ways in turns; return the lines."""
    counts = sorted({1, 2, min(8, os.cpu_count() or 1)})
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rlwd-bench-")))
        engine = stack.enter_context(fake_engine(folder))
        ways = {"bare": Way(url=engine, model=VERSION.version)}
        for count in counts:
            say(f"workers: a gateway of {count}")
            place = folder / f"workers-{count}"
            url = stack.enter_context(gateway(place, engine, VERSION, workers=count))
            ways[str(count)] = Way(url=url)
        ways["passing bytes on"] = Way(
            url=stack.enter_context(passing_on(folder, engine)), model=VERSION.version
        )
        if (command := litellm()) is None:
            say("workers: LiteLLM's proxy is not installed here (litellm[proxy]): left out")
        else:
            say("workers: LiteLLM's proxy")
            ways["LiteLLM"] = Way(url=stack.enter_context(proxy(command, folder, engine)))
        for number in range(rounds + 1):
            for streamed in (False, True):
                for name, way in ways.items():
                    rate = _rate(way, streamed)
                    if number:
                        way.rates[streamed].append(rate)
                    say(f"workers: {name}: {rate:,.0f}/s{', streamed' if streamed else ''}")
        return [line for streamed in (False, True) for line in _lines(ways, streamed)]


def _lines(ways: dict[str, Way], streamed: bool) -> Iterator[Line]:
    kind = "streamed" if streamed else "whole"
    for name, way in ways.items():
        if name == "bare":
            continue
        who = name if not name.isdigit() else f"{name} worker{'s' if name != '1' else ''}"
        others = ("bare", "LiteLLM") if name.isdigit() else ("bare",)
        for other in (one for one in others if one in ways):
            yield Line(
                part="workers",
                what=f"{kind}, {STREAMS} at a time, {who}",
                unit="answers/s",
                against="a fake engine, direct" if other == "bare" else "LiteLLM's proxy",
                ours=tuple(way.rates[streamed]),
                theirs=tuple(ways[other].rates[streamed]),
                goal=0.5 if name == "1" and other == "bare" else None,
            )


def litellm() -> str | None:
    """Return the command of LiteLLM's proxy; None where it is not installed."""
    return os.environ.get("RLWD_LITELLM") or shutil.which("litellm")


@contextlib.contextmanager
def passing_on(folder: Path, engine: str) -> Iterator[str]:
    """Run the proxy that does nothing else."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    with Server(
        [sys.executable, "-m", "bench_passing_on", "--port", str(port), "--engine", engine],
        name="a proxy that passes on",
        log=folder / "passing-on.log",
        healthy=answers(f"{url}/health"),
    ):
        yield url


@contextlib.contextmanager
def proxy(command: str, folder: Path, engine: str) -> Iterator[str]:
    """Run LiteLLM's proxy before an engine, without a database and with one worker, as it comes."""
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(LITELLM.format(model=VERSION.version, engine=engine))
    url = f"http://{LOOPBACK}:{port}"
    asked = ["--config", str(config), "--host", LOOPBACK, "--port", str(port), "--num_workers", "1"]
    with Server(
        [command, *asked, "--telemetry", "False"],
        name="LiteLLM's proxy",
        log=folder / "litellm.log",
        healthy=answers(f"{url}/health/liveliness"),
        environment={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            # A newer one refuses to start without a key, which the gateway beside it asks nobody for either.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    ):
        yield url


def _rate(way: Way, streamed: bool) -> float:
    """Ask from several processes that begin at the same moment; return answers a second."""
    each = [str(STREAMS // CLIENTS), str(REQUESTS // CLIENTS)]
    command = [sys.executable, "-m", "bench_workers", way.url, way.model, *each]
    asking = [
        subprocess.Popen(
            [*command, "--streamed"] if streamed else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(CLIENTS)
    ]
    for one in asking:
        assert one.stdout is not None
        one.stdout.readline()
    for one in asking:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    took = [float(one.communicate()[0]) for one in asking]
    return REQUESTS / max(took)


async def _ask_all(url: str, model: str, streams: int, requests: int, streamed: bool) -> float:
    raw = orjson.dumps({**BODY, "model": model, "stream": streamed})
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    left = iter(range(requests))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> None:
            for _ in left:
                async with session.post(url + CHAT, data=raw) as response:
                    content = await response.read()
                if response.status != 200 or b'"error"' in content:
                    raise RuntimeError(f"{url}: {response.status}: {content[:300]!r}")

        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(streams)))
        return time.perf_counter() - began


def main() -> None:
    """Be one client: say that it is ready, ask once told to, and print how many seconds it took."""
    parser = argparse.ArgumentParser(description="Ask one server, some requests at a time.")
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("streams", type=int)
    parser.add_argument("requests", type=int)
    parser.add_argument("--streamed", action="store_true")
    given = parser.parse_args()
    asking = _ask_all(given.url, given.model, given.streams, given.requests, given.streamed)
    print(asyncio.run(asking))


if __name__ == "__main__":
    main()
