"""The whole loop on one machine: real engine, gateway and daemon, and people who use it."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
from waiting import until

from rlwd.daemon.commands.status import status_document
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.demo.crowd import Crowd
from rlwd.daemon.store import state_view
from rlwd.daemon.worlds.habits import Habits
from rlwd.daemon.worlds.people import People
from rlwd.daemon.worlds.styles_people import StylesPeople
from rlwd.daemon.worlds.tastes import OneTaste
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port
from rlwd.ops.servers.vllm_server import VllmServer
from rlwd.ops.stages.record import Rollout

WANTS = {"reply": "plain", "title": "bullet", "note": "shout", "alert": "polite"}

CONFIG = """\
policy = "{policy}"
state = "state"
database = "{database}"
reward_spec = "rewards.toml"
look_seconds = 0.2
stop_seconds = 6.0

[stream]
kind = "{stream}"
generations = "{policy}.generations"
feedback = "{policy}.feedback"
dead_letters = "{policy}.deadletter"
poll_seconds = 0.05

[stream.kafka]
bootstrap_servers = ["{kafka}"]
group_id = "loop-{http}"
group_instance_id = "loop-{http}-0"
session_timeout_seconds = 6.0

[batch]
episodes = 32
at_most = 48
held_out = 0.1

[learner]
model = "{model}"
device = "cpu"
lora_rank = 4
lora_alpha = 4.0
learning_rate = 3e-3
warmup_steps = 0
passes = 2
minibatch_episodes = 8
pack_tokens = 512
threads = 1

[engine]
urls = ["{engine}"]

[gate]
margin = 0.5
weak_first_step = 1.0   # a batch is small, and its few held-out episodes always weak
probe_tolerance = 0.001
probe_rounds = {probes}        # the tiny policy understands none of the questions, and takes its time
probe_most_rounds = {probes}

[rollout]
steps = [0.45]
anchor_share = 0.02
step_users = 0
step_seconds = 0.0
min_users = 10
margin = 0.5
planned_users = 20
gate_seconds = 60.0
deadline_seconds = 120.0
bake_seconds = 0.0
linger_seconds = 2.0
watch.seconds = 1.0
watch.on_doubt = "promote"   # of ten people a third of what behaves alike would wait for more

[comparison]
horizon_seconds = 1.0

[gateway]
host = "127.0.0.1"
port = {gateway}
engines = ["{engine}"]

[mlflow]
tracking_uri = "{mlflow}"
trace_share = 0.1

[telemetry]
otlp_endpoint = "{traces}"

[privacy]
purposes = ["count", "train", "share"]

[http]
port = {http}
"""

SPEC = """\
name = "loop"
[decision]
default = 3600
[parts]
accepted = 1.0
edit_similarity = 0.5
kept = 0.5
rated = 0.5
"""


class LoopProcesses:
    """Engine, daemon and gateway as processes of their own, all in one folder."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        *,
        engine: EmbeddedServer | VllmServer,
        mlflow: str,
        policy: str = "policy",
        kafka: str = "",
        database: str = "",
        probes: int = 0,
        traces: str = "",
    ) -> None:
        self.folder, self.engine = folder, engine
        self.gateway_port, self.http_port = free_port(), free_port()
        self.path = folder / "rlwd.toml"
        (folder / "rewards.toml").write_text(SPEC)
        self.path.write_text(
            CONFIG.format(
                policy=policy,
                database=database,
                stream="kafka" if kafka else "embedded",
                kafka=kafka or f"{LOOPBACK}:9092",
                model=model,
                engine=engine.url,
                gateway=self.gateway_port,
                http=self.http_port,
                mlflow=mlflow,
                probes=probes,
                traces=traces,
            )
        )
        self.config: Config = load_config(self.path)
        self.daemon = self._server("run", self.http_port)
        self.gateway = self._server("gateway", self.gateway_port)
        self.visits = 0

    def member(self, name: str) -> Server:
        """Make a daemon in the ingest role, beside the one in control; the caller starts it."""
        port = free_port()
        return self._server("run", port, "--role", "ingest", "--member", name, "--port", str(port))

    def _server(self, command: str, port: int, *more: str) -> Server:
        return Server(
            [sys.executable, "-m", "rlwd.daemon", command, "--config", str(self.path), *more],
            name=command,
            log=self.folder / f"{command}-{port}.log",
            healthy=answers(f"http://{LOOPBACK}:{port}/readyz"),
            environment={"OMP_NUM_THREADS": "1"},
        )

    def start(self) -> None:
        """Start daemon and gateway; the engine is the caller's."""
        self.daemon.spawn()
        self.gateway.spawn()
        self.daemon.wait()
        self.gateway.wait()

    @contextmanager
    def settled_in(
        self, seconds: float = 240.0, *, by_coin: float = 0.0
    ) -> Iterator["LoopProcesses"]:
        """Run the loop in the block, once one version was promoted and serves everybody.

        `by_coin` is the share of people who decide at random: a policy that never pleases anybody
        gives a relative margin nothing to decide by.
        """
        try:
            self.start()
            crowd = self.crowd_until(self.serves_what_it_learned, seconds, by_coin=by_coin)
            assert crowd.tally.failed == crowd.tally.feedback_failed == 0
            self.settle(len(crowd.tally.answers))
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop what runs, in the order that loses nothing."""
        self.gateway.stop()
        self.daemon.stop()

    def crowd_until(
        self, done: Callable[[Crowd], bool], seconds: float = 240.0, *, by_coin: float = 0.0
    ) -> Crowd:
        """Let people use the loop until something is the case; then until all was said.

        Raises AssertionError, with the daemon's last lines, where it never is.
        """
        self.visits += 1
        crowd = Crowd(
            f"http://{LOOPBACK}:{self.gateway_port}",
            People(
                OneTaste(StylesPeople(WANTS)),
                Habits(by_coin=by_coin),
                seed=self.visits,
                users=400,
            ),
            seed=self.visits,
            users=400,
            at_once=16,
            rate=15.0,
        )

        async def serve() -> bool:
            running = asyncio.create_task(crowd.run())
            deadline = time.monotonic() + seconds
            met = False
            while not met and time.monotonic() < deadline and not running.done():
                await asyncio.sleep(0.1)
                met = await asyncio.to_thread(done, crowd)
            crowd.stopping.set()
            await running
            return met

        met = asyncio.run(serve())
        assert met, f"{crowd.tally.failed} failed, {self.live()}\n{self.daemon.tail()}"
        return crowd

    def until(self, done: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait until something is the case; TimeoutError with the daemon's last lines if never."""
        until(done, seconds, told=lambda: f"{self.live()}\n{self.daemon.tail()}")

    def live(self) -> dict[str, Any]:
        """Return the daemon's facts of the moment; empty where it does not answer."""
        try:
            url = f"http://{LOOPBACK}:{self.http_port}/statusz"
            answer = httpx.get(url, timeout=5.0, trust_env=False, verify=NO_TLS)
            found: dict[str, Any] = orjson.loads(answer.content)["live"]
        except (httpx.HTTPError, ValueError, KeyError):
            return {}
        return found

    def problems(self) -> dict[str, str]:
        """Return what keeps the daemon from being ready; empty where it does not answer."""
        try:
            url = f"http://{LOOPBACK}:{self.http_port}/readyz"
            answer = httpx.get(url, timeout=5.0, trust_env=False, verify=NO_TLS)
            found: dict[str, str] = orjson.loads(answer.content)["problems"]
        except (httpx.HTTPError, ValueError, KeyError):
            return {}
        return found

    def status(self) -> dict[str, Any]:
        """Return what the state database says, whether the daemon runs or not."""
        return status_document(self.config, time.time())

    def ask(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query to the state database."""
        with state_view(self.config.state_database) as view:
            return view.execute(sql, parameters).fetchall()

    def rollouts(self) -> dict[str, Rollout]:
        """Return every version's rollout, oldest first."""
        rows = self.ask("SELECT version, record FROM rollouts ORDER BY number")
        return {version: msgspec.json.decode(record, type=Rollout) for version, record in rows}

    def promoted(self) -> list[str]:
        """Return the versions that are or were champion, v0 left out."""
        return [row[0] for row in self.ask("SELECT version FROM champions ORDER BY number")][1:]

    def serves_what_it_learned(self, crowd: Crowd) -> bool:
        """Return whether the latest answers come from a promoted version, as the champion."""
        promoted = self.promoted()
        return any(
            answer.variant == "champion" and answer.version in promoted
            for answer in crowd.tally.answers[-20:]
        )

    def applied(self) -> list[int]:
        """Return the batches that the checkpoints on disk applied, in the order of checkpoints."""
        manifests = read_manifests(self.config.state_path / "checkpoints")
        return [one.batch_id for one in manifests if one.batch_id in one.applied]

    def settle(self, answers: int) -> None:
        """Wait until so many answers are joined and nothing more can be learned from them."""
        self.until(lambda: self.status()["generations"] >= answers)
        self.until(self._idle)

    def _idle(self) -> bool:
        status, live = self.status(), self.live()
        under_way = [
            v for v in status["versions"] if v["stage"] in ("offered", "gated", "shadow", "canary")
        ]
        enough = status["ready"] >= self.config.batch.episodes and not under_way
        return not status["batches"].get("sealed") and not enough and live.get("learner_up", False)
