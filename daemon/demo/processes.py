"""Demo processes: the real processes that the demo starts, and the config they share."""

import contextlib
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson

from ...learner.settings import LearnerSettings
from ...ops.servers.embedded_server import EmbeddedServer
from ...ops.servers.mlflow_server import MlflowServer
from ...ops.servers.process import LOOPBACK, Server, answers, free_port
from ...ops.servers.vllm_server import VllmServer
from ...streams.log.kafka_settings import KafkaSettings
from ...streams.log.kafka_topics import create_topics
from ..sections import StreamSettings
from .task import pretraining_pairs

PRETRAINING_STEPS = 350

LEARNER = """\
[learner]        # gentler by default; these are for a tiny policy that is to learn in minutes
model = "policy"
device = "cpu"
lora_rank = 8
lora_alpha = 16.0
learning_rate = 5e-3    # 7e-3 ends at 0.8 in place of 0.9 (docs/regions.md)
eps = 1e-5          # calmer late versions than 1e-8, measured
warmup_steps = 0
passes = 4
minibatch_episodes = 32
trust_region = "decoupled"
ratio_mask = 0.3
negative_weight = 0.2    # the default, 1, is the mean reward: too rough at this rate (docs/regions.md)
kl_weight = 0.05
max_policy_age = 8
estimator = "tracker"   # what this profile was measured with (docs/estimators.md)
pack_tokens = 128
threads = 1
nice = 0               # it is to keep up with the crowd, even where others share the cores
seed = {seed}

[learner.lanes]
kto = 0.0         # one lane, so that the page shows what it alone does
dpo = 0.0
"""


def demo_learner() -> LearnerSettings:
    """Return what the demo's learner is set to; its seed is still 0."""
    return msgspec.convert(tomllib.loads(LEARNER.format(seed=0))["learner"], LearnerSettings)


CONFIG = """\
# Written by `rlwd demo`: the real thing, with the numbers of one small machine.
policy = "demo"
state = "state"
reward_spec = "rewards.toml"
look_seconds = 0.5
stop_seconds = 20.0

[stream]
kind = "{stream}"
poll_seconds = 0.1

[stream.kafka]
bootstrap_servers = ["{kafka}"]
group_id = "rlwd-demo"
group_instance_id = "rlwd-demo-0"

[batch]
episodes = {episodes}
at_most = 512          # what came while the learner was at work, at whatever age
held_out = 0.1
max_lead = 4           # it goes on while a version is tried: the newest is tried next

{learner}
[engine]
urls = ["{engine}"]

[gate]
margin = 0.1
weak_first_step = 1.0   # a batch is small, and its few held-out episodes always weak
probe_rounds = 0        # its policy understands 48 questions, and none of the probes'

[rollout]        # half of the crowd each, and promotion as not worse by a quarter
steps = [0.49]
anchor_share = 0.02
step_users = 0
step_seconds = 0.0
min_users = 100
margin = {margin}
planned_users = 200
deadline_seconds = 45.0   # one that nobody can tell from its control makes way for a newer one
gate_seconds = 60.0
bake_seconds = 2.0
linger_seconds = 10.0

[comparison]
horizon_seconds = 1.0  # its people decide within half a second

[gateway]
host = "127.0.0.1"
port = {gateway}
model = "rlwd"
engines = ["{engine}"]

[mlflow]
tracking_uri = "{mlflow}"

[http]
port = {http}
"""

SPEC = """\
# The demo's people decide within half a second, so its horizons are short.
name = "demo"

[ready]
default = 0

[decision]
default = 20

[horizons]
accepted = 20
rejected = 20
edited = 20
undone = 20
rated = 20
kept = 60

[parts]
accepted = 1.0
edit_similarity = 0.5
kept = 0.5
rated = 0.5
"""


def mlflow_server_installed() -> bool:
    """Return whether a tracking server can be started here: the client alone has none."""
    try:
        importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class DemoProcesses:
    """Engine, MLflow, daemon and gateway as processes of their own, all in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        kafka: str,
        vllm: bool,
        mlflow: bool = True,
        episodes: int = 128,
        pretraining_steps: int = PRETRAINING_STEPS,
        margin: float = 0.25,
    ) -> None:
        """`margin` is `rollout.margin`: how much worse than the control a promoted version may be."""
        self.folder, self.seed, self.kafka, self.vllm = folder.absolute(), seed, kafka, vllm
        self.with_mlflow, self.episodes = mlflow, episodes
        self.pretraining_steps, self.margin = pretraining_steps, margin
        self.model = self.folder / "policy"
        self.config = self.folder / "rlwd.toml"
        self.gateway_port, self.http_port = free_port(), free_port()
        self.gateway_url = f"http://{LOOPBACK}:{self.gateway_port}"
        self.http_url = f"http://{LOOPBACK}:{self.http_port}"
        self.mlflow = MlflowServer(self.folder / "mlflow")
        self.engine_port = free_port()
        self.engine_url = f"http://{LOOPBACK}:{self.engine_port}"
        self.daemon = self._rlwd("run", f"{self.http_url}/readyz")
        self.gateway = self._rlwd("gateway", f"{self.gateway_url}/readyz")

    @cached_property
    def engine(self) -> EmbeddedServer | VllmServer:
        """The engine; vLLM's options are read off the policy, which must be there by then."""
        kind = VllmServer if self.vllm else EmbeddedServer
        return kind(self.model, self.folder, port=self.engine_port)

    def write_config(self) -> None:
        """Write the config that daemon and gateway read; on Kafka, make the topics it names."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.kafka:
            stream = StreamSettings()
            topics = (stream.generations, stream.feedback, stream.dead_letters)
            create_topics(KafkaSettings(bootstrap_servers=(self.kafka,)), topics)
        text = CONFIG.format(
            stream="kafka" if self.kafka else "embedded",
            kafka=self.kafka or f"{LOOPBACK}:9092",
            learner=LEARNER.format(seed=self.seed),
            engine=self.engine_url,
            gateway=self.gateway_port,
            episodes=self.episodes,
            margin=self.margin,
            mlflow=self.mlflow.url if self.with_mlflow else "",
            http=self.http_port,
        )
        spec = self.folder / "rewards.toml"
        spec.write_text(SPEC)
        self.config.write_text(text)

    def make_policy(self) -> "subprocess.Popen[bytes]":
        """Begin to make and pre-train the tiny policy; its lines are `done of` steps."""
        pairs = self.folder / "pretraining.json"
        pairs.write_bytes(orjson.dumps(pretraining_pairs()))
        command = [sys.executable, "-m", "rlwd.learner.tiny.pretrain", str(self.model)]
        options = ["--seed", str(self.seed), "--steps", str(self.pretraining_steps)]
        # One thread: on two shared cores two of them mostly wait for each other.
        return subprocess.Popen(
            [*command, *options, "--examples", str(pairs)],
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run all processes in the block; afterwards stop them in the order that loses nothing."""
        with contextlib.ExitStack() as stack:
            for server in (self.engine, self.daemon, self.gateway):
                stack.callback(server.stop)
                server.spawn()
            for server in (self.engine, self.daemon, self.gateway):
                server.wait()
            yield
            self.gateway.stop()

    def live(self) -> dict[str, Any]:
        """Return what the daemon says of itself; empty where it does not answer in time."""
        try:
            answer = httpx.get(f"{self.http_url}/statusz", timeout=2.0)
            document: dict[str, Any] = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError):
            return {}
        return document

    def _rlwd(self, command: str, ready: str) -> Server:
        return Server(
            [sys.executable, "-m", "rlwd.daemon", command, "--config", str(self.config)],
            name=command,
            log=self.folder / f"{command}.log",
            healthy=answers(ready),
            environment={"OMP_NUM_THREADS": "1"},
            start_seconds=120.0,
        )
