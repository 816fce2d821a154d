"""Chaos: the demo's traffic on a real Kafka while processes are killed at random, and the proof after.

    python -m chaos --kills 200 --seed 0 --report chaos.json

The harness plays the supervisor that production has: it kills with SIGKILL and starts again. Then
it checks that nothing was lost or counted twice:

1. both accounting identities close, and the ledger agrees with the manifests;
2. every answer that a person got, and every feedback that was acknowledged, is in the ledger once;
3. reading the whole topic into a fresh state gives the same rewards at their latest revision.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from chaos_instants import recover, run_instants
from chaos_proof import prove
from kafka_server import KafkaServer
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.daemon.demo.crowd import Crowd
from rlwd.daemon.demo.demo_profile import Profile, tiny_profile
from rlwd.daemon.demo.processes import DemoProcesses
from rlwd.daemon.hacks.hack_profile import changed
from rlwd.daemon.worlds.habits import Habits
from rlwd.daemon.worlds.people import People
from rlwd.daemon.worlds.styles import hidden_preference
from rlwd.daemon.worlds.styles_people import StylesPeople
from rlwd.daemon.worlds.tastes import OneTaste
from rlwd.ops.servers.process import Server

VICTIMS = ("gateway", "daemon", "learner", "engine", "broker")
PAUSE_SECONDS = (0.3, 6.0)
"""Between two kills: long enough for some work to be done, short enough to hit it in the middle."""
EPISODES = 48
"""To a batch: small, so that many are sealed, applied and offered meanwhile."""
SHORT = {"min_users": "20", "planned_users": "40", "deadline_seconds": "8.0"}
"""Rollouts that end soon: what they decide does not matter here, and kills between two steps do."""
PRETRAINING_STEPS = 60
"""Enough for answers of the right length; what they are worth does not matter here."""
DRAIN_SECONDS = 90.0
VLLM_SECONDS = 240.0


@dataclass(slots=True, kw_only=True)
class Toll:
    """What the chaos did."""

    kills: Counter[str] = field(default_factory=Counter)
    """By victim."""
    missed: int = 0
    """Kills for which there was no process to kill."""


class Chaos:
    """Kills and restarts the processes of a demo loop while its crowd goes on."""

    def __init__(
        self,
        loop: DemoProcesses,
        broker: KafkaServer,
        *,
        kills: int,
        seed: int,
        victims: Sequence[str] = VICTIMS,
    ) -> None:
        self.loop, self.broker, self.wanted, self.victims = loop, broker, kills, victims
        self.rng, self.toll = random.Random(seed), Toll()

    async def run(self, crowd: Crowd) -> None:
        """Kill as often as wanted, then let everything come back and the crowd go home."""
        crowding = asyncio.create_task(crowd.run())
        while self.toll.kills.total() < self.wanted:
            await asyncio.sleep(self.rng.uniform(*PAUSE_SECONDS))
            await asyncio.to_thread(self._kill, self.rng.choice(self.victims))
        await asyncio.to_thread(recover, self.loop, self.broker)
        await asyncio.sleep(3.0)
        crowd.stopping.set()
        await crowding

    def _kill(self, victim: str) -> None:
        if victim == "learner":
            self._kill_learner()
            return
        server: Server = {
            "gateway": self.loop.gateway,
            "daemon": self.loop.daemon,
            "engine": self.loop.engine,
            "broker": self.broker,
        }[victim]
        if not server.alive:
            server.spawn()
            return
        if victim == "engine" and self.loop.vllm:
            # It takes half a minute to start: killed before it serves, it would never do any harm.
            until(server.healthy, VLLM_SECONDS, told=server.tail)
            time.sleep(self.rng.uniform(*PAUSE_SECONDS))
        server.kill()
        self.toll.kills[victim] += 1
        server.spawn()

    def _kill_learner(self) -> None:
        pid = self.loop.live().get("live", {}).get("learner_pid")
        if pid is None:
            self.toll.missed += 1
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            self.toll.missed += 1
            return
        self.toll.kills["learner"] += 1


def run_chaos(
    folder: Path,
    *,
    kills: int,
    seed: int,
    rate: float,
    vllm: bool = False,
    victims: Sequence[str] = VICTIMS,
    instants: bool = False,
) -> dict[str, Any]:
    """Run the whole of it in an empty folder; return the report. `problems` is empty on success."""
    with KafkaServer(folder / "kafka") as broker:
        loop = DemoProcesses(
            folder,
            seed=seed,
            kafka=broker.bootstrap,
            vllm=vllm,
            mlflow=False,
            pretraining_steps=PRETRAINING_STEPS,
            profile=_profile(seed),
        )
        loop.write_config()
        pretraining = loop.make_policy()
        pretraining.communicate()
        crowd = Crowd(
            loop.gateway_url,
            # By a coin, half of them: else hardly anything is accepted, and a relative margin
            # cannot be decided by that.
            People(
                OneTaste(StylesPeople(hidden_preference(seed))),
                Habits(by_coin=0.5),
                seed=seed,
                users=1000,
            ),
            seed=seed,
            users=1000,
            at_once=16,
            rate=rate,
        )
        chaos = Chaos(loop, broker, kills=kills, seed=seed, victims=victims)
        with loop.running():
            if instants:
                asyncio.run(run_instants(loop, broker, crowd, chaos.toll.kills))
            else:
                asyncio.run(chaos.run(crowd))
            _drain(loop, crowd)
        return prove(load_config(loop.config), crowd.tally, chaos.toll.kills)


def _profile(seed: int) -> Profile:
    """Return the demo's profile with short rollouts.

    A policy that few like, at a few requests a second: versions must follow one another.
    """
    profile = tiny_profile(seed, episodes=EPISODES, margin=0.5)
    return replace(profile, release=changed(profile.release, SHORT))


def _drain(loop: DemoProcesses, crowd: Crowd) -> None:
    """Wait until the ledger has all that the crowd was told it has."""

    def settled() -> bool:
        live = loop.live()
        return bool(live) and live.get("generations", 0) >= len(crowd.tally.answered)

    try:
        until(settled, DRAIN_SECONDS, told=lambda: "the ledger")
    except TimeoutError as problem:
        print(problem, file=sys.stderr)
    time.sleep(3.0)


def main() -> None:
    """Run as the arguments say; exit 1 where a problem was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=15.0)
    parser.add_argument("--folder", type=Path, default=Path("chaos-state"))
    parser.add_argument("--report", type=Path, default=None)
    parser.add_argument("--vllm", action="store_true", help="let a real vLLM server answer")
    parser.add_argument("--instants", action="store_true", help="die between durable writes")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    given = parser.parse_args()
    # Killed itself, the harness unwinds and leaves no process behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    report = run_chaos(
        given.folder,
        kills=given.kills,
        seed=given.seed,
        rate=given.rate,
        vllm=given.vllm,
        victims=given.victims,
        instants=given.instants,
    )
    text = orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()
    print(text)
    if given.report is not None:
        given.report.write_text(text + "\n")
    raise SystemExit(1 if report["problems"] else 0)


if __name__ == "__main__":
    main()
