"""Demo processes: the real processes that the demo starts, and the config they share."""

import contextlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import orjson

from ...ops.servers.embedded_server import EmbeddedServer
from ...ops.servers.mlflow_server import MlflowServer
from ...ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port
from ...ops.servers.vllm_server import VllmServer
from ...streams.log.kafka_settings import KafkaSettings
from ...streams.log.kafka_topics import create_topics
from ..control.loop import LETTING_GO_SECONDS
from ..gateway.settings import GatewaySettings
from ..parent.gateway_process import longest_stop
from .demo_profile import Profile, tiny_profile

STOP_SECONDS = 20.0
"""How long daemon and gateway may take over what is under way; most of it ends in one."""

CONFIG = """\
# Written by `rlwd demo`: the real thing, with the numbers of one small machine.
policy = "demo"
state = "state"
reward_spec = "rewards.toml"
look_seconds = 0.5
stop_seconds = {stop}

[stream]
kind = "{stream}"
poll_seconds = 0.1
generations = "{topics}.generations"
feedback = "{topics}.feedback"
dead_letters = "{topics}.deadletter"

[stream.kafka]
bootstrap_servers = ["{kafka}"]
group_id = "{topics}-demo"
group_instance_id = "{topics}-demo-0"

{learner}
[engine]
urls = ["{engine}"]

{release}
[gateway]
host = "127.0.0.1"
port = {gateway}
model = "rlwd"
engines = ["{engine}"]
stop_seconds = {stop}

[mlflow]
tracking_uri = "{mlflow}"

[http]
port = {http}
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
        pretraining_steps: int | None = None,
        profile: Profile | None = None,
        model: Path | None = None,
        engine: Mapping[str, Any] | None = None,
        topics: str = "rlwd",
    ) -> None:
        """`profile` is the tiny policy's where it is None, `model` is where that one is put, and `engine`
        holds vLLM's options. The profile says, too, for how many steps it is pre-trained otherwise.
        `topics` begins the names of the topics: one that holds another demo's records tells of both."""
        self.folder, self.seed, self.kafka, self.vllm = folder.absolute(), seed, kafka, vllm
        self.topics = topics
        self.with_mlflow, self.profile = mlflow, profile or tiny_profile(seed)
        self.pretraining_steps = pretraining_steps or self.profile.steps
        self.model = model or self.folder / "policy"
        self._engine_options = dict(engine or {})
        self.config = self.folder / "rlwd.toml"
        self.gateway_port, self.http_port = free_port(), free_port()
        self.gateway_url = f"http://{LOOPBACK}:{self.gateway_port}"
        self.http_url = f"http://{LOOPBACK}:{self.http_port}"
        self.mlflow = MlflowServer(self.folder / "mlflow")
        self.engine_port = free_port()
        self.engine_url = f"http://{LOOPBACK}:{self.engine_port}"
        ends = longest_stop(GatewaySettings(stop_seconds=STOP_SECONDS))
        stops = STOP_SECONDS + LETTING_GO_SECONDS
        self.daemon = self._rlwd("run", f"{self.http_url}/readyz", stops)
        self.gateway = self._rlwd("gateway", f"{self.gateway_url}/readyz", ends)

    @cached_property
    def engine(self) -> EmbeddedServer | VllmServer:
        """The engine; vLLM's options are read off the policy, which must be there by then."""
        if self.vllm:
            options = {"port": self.engine_port, **self._engine_options}
            return VllmServer(self.model, self.folder, **options)
        return EmbeddedServer(self.model, self.folder, port=self.engine_port)

    def write_config(self) -> None:
        """Write the config that daemon and gateway read; on Kafka, make the topics it names."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.kafka:
            topics = [f"{self.topics}.{name}" for name in ("generations", "feedback", "deadletter")]
            create_topics(KafkaSettings(bootstrap_servers=(self.kafka,)), topics)
        text = CONFIG.format(
            stream="kafka" if self.kafka else "embedded",
            topics=self.topics,
            kafka=self.kafka or f"{LOOPBACK}:9092",
            stop=STOP_SECONDS,
            learner=self.profile.learner,
            release=self.profile.release,
            engine=self.engine_url,
            gateway=self.gateway_port,
            mlflow=self.mlflow.url if self.with_mlflow else "",
            http=self.http_port,
        )
        spec = self.folder / "rewards.toml"
        spec.write_text(self.profile.rewards)
        self.config.write_text(text)

    def make_policy(self) -> "subprocess.Popen[bytes]":
        """Begin to make and pre-train the tiny policy; its lines are `done of` steps."""
        course = self.folder / "pretraining.json"
        course.write_bytes(orjson.dumps(self.profile.course))
        command = [sys.executable, "-m", "rlwd.learner.tiny.pretrain", str(self.model)]
        options = ["--seed", str(self.seed), "--steps", str(self.pretraining_steps)]
        # One thread: on two shared cores two of them mostly wait for each other.
        return subprocess.Popen(
            [*command, *options, "--examples", str(course)],
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
            answer = httpx.get(f"{self.http_url}/statusz", timeout=2.0, verify=NO_TLS)
            document: dict[str, Any] = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError):
            return {}
        return document

    def _rlwd(self, command: str, ready: str, stop_seconds: float) -> Server:
        return Server(
            [sys.executable, "-m", "rlwd.daemon", command, "--config", str(self.config)],
            name=f"`rlwd {command}`",
            log=self.folder / f"{command}.log",
            healthy=answers(ready),
            environment={"OMP_NUM_THREADS": "1"},
            # As long as it asks a supervisor for: who kills it sooner cuts what its config lets end.
            stop_seconds=stop_seconds,
        )
