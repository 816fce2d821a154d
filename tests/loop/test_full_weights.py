"""Full weights reach people: learned from what they say, served beside the champion, promoted by flags alone.

Real processes: gateway, daemon with its learner, and a router whose servers are embedded engines.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lone_daemon import lives
from loop_processes import SPEC
from router_process import ROUTER, RouterProcess, child_of
from waiting import until

from rlwd.daemon.commands.by_hand import run_decision
from rlwd.daemon.commands.status import status_document
from rlwd.daemon.config import load_config
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

pytestmark = pytest.mark.timeout(600)

CONFIG = """\
reward_spec = "rewards.toml"
look_seconds = 0.5
stop_seconds = 6.0
[batch]
episodes = 8
held_out = 0.0
user_share = 1.0
[learner]
model = "{model}"
device = "cpu"
weights = "full"
learning_rate = 1e-3
warmup_steps = 0
passes = 2
minibatch_episodes = 8
threads = 1
[engine]
urls = ["{router}"]
[gate]
weak_first_step = 1.0
require_held_out = false
probe_rounds = 0
probe_most_rounds = 0
[rollout]
steps = [0.5]
step_users = 0
step_seconds = 0.0
anchor_share = 0.0
min_users = 1_000_000
gate_seconds = 300.0
deadline_seconds = 7200.0
bake_seconds = 0.0
[gateway]
port = {gateway}
engines = ["{router}"]
[http]
port = {http}
"""


class Shop:
    """Gateway, daemon and router on one config, and people who ask and say what they think."""

    def __init__(self, folder: Path, model: Path) -> None:
        (folder / "rewards.toml").write_text(SPEC)
        ports = {name: free_port() for name in ("router", "gateway", "http")}
        self.path, self.gateway_port = folder / "rlwd.toml", ports["gateway"]
        router = f"http://{LOOPBACK}:{ports['router']}"
        text = CONFIG.format(model=model, **{**ports, "router": router})
        more = ROUTER.format(port=ports["router"], server="embedded", more="")
        self.path.write_text(text + more)
        self.config = load_config(self.path)
        self.router = RouterProcess(self.path, ports["router"])
        self.daemon = self._server("run", ports["http"])
        self.gateway = self._server("gateway", ports["gateway"])
        self.asked = 0

    def _server(self, command: str, port: int) -> Server:
        return Server(
            [sys.executable, "-m", "rlwd.daemon", command, "--config", str(self.path)],
            name=command,
            log=self.path.with_name(f"{command}.log"),
            healthy=answers(f"http://{LOOPBACK}:{port}/readyz"),
            environment={"OMP_NUM_THREADS": "1"},
        )

    def ask(self) -> tuple[int, str, str]:
        """Let somebody new ask; return status, the version that answered, and the generation."""
        self.asked += 1
        body: dict[str, Any] = {
            "model": "rlwd",
            "messages": [{"role": "user", "content": "reply: invoice"}],
            "max_tokens": 8,
            "user": f"user-{self.asked}",
        }
        answer = self._post("/v1/chat/completions", body)
        version = answer.headers.get("X-Rlwd-Version", "").partition("; ")[0]
        return answer.status_code, version, answer.headers.get("X-Rlwd-Generation", "")

    def say(self, generation: str, kind: str) -> None:
        """Say what somebody did with an answer."""
        body = {
            "feedback_id": f"{generation}.f",
            "generation_id": generation,
            "signal": {"kind": kind},
        }
        assert self._post("/v1/feedback", body).status_code == 202

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        url = f"http://{LOOPBACK}:{self.gateway_port}{path}"
        return httpx.post(url, json=body, timeout=60.0, verify=NO_TLS)

    def until(self, true: Any, seconds: float = 240.0) -> None:
        """Wait until something is the case; TimeoutError with everybody's last lines if it never is."""
        every = (self.router, self.daemon, self.gateway)
        until(true, seconds, told=lambda: "\n".join(one.tail() for one in every), pause=0.3)

    def stages(self) -> dict[str, str]:
        """Return how far each version's rollout is."""
        found = status_document(self.config, time.time())["versions"]
        return {one["version"]: one["stage"] for one in found}

    def pids(self) -> dict[str, int]:
        """Return the process id of each version's own server, of those that are up."""
        servers = self.router.servers().items()
        found = {name: child_of(one["pid"]) for name, one in servers if one["up"] == "true"}
        return {name: pid for name, pid in found.items() if pid is not None}


@pytest.fixture
def shop(tiny_policy: Path, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path, tiny_policy)
    every = (made.router, made.daemon, made.gateway)
    try:
        for one in every:
            one.spawn()
        for one in every:
            one.wait()
        yield made
    finally:
        for one in reversed(every):
            one.stop()


def test_full_weights_are_promoted_beside_the_champion(shop: Shop) -> None:
    """A version learned over HTTP has a server of its own, killed once, and takes over by flags alone; the
    champion's process is the same from the first answer on; a router that is killed leaves no server."""
    (v0,) = shop.pids()
    champion = shop.pids()[v0]
    for number in range(8):
        status, version, generation = shop.ask()
        assert (status, version) == (200, v0)
        shop.say(generation, "rejected" if number % 2 else "accepted")
    shop.until(lambda: "canary" in shop.stages().values())
    v1 = next(version for version, stage in shop.stages().items() if stage == "canary")
    served = shop.pids()
    assert served[v0] == champion != served[v1]
    os.kill(served[v1], signal.SIGKILL)
    shop.until(lambda: shop.pids().get(v1, served[v1]) != served[v1])
    assert {shop.ask()[0] for _ in range(8)} == {200}
    met = set[str]()

    def both() -> bool:
        status, version, _ = shop.ask()
        assert status == 200
        met.add(version)
        return met == {v0, v1}

    shop.until(both)
    candidate = shop.pids()[v1]
    assert run_decision(shop.config, "promote", by="us", why="its test") == 0
    shop.until(lambda: {shop.ask()[1] for _ in range(4)} == {v1})
    assert shop.pids() == {v0: champion, v1: candidate}
    assert shop.router.servers()[v0]["restarts"] == "0"

    assert shop.router.process is not None
    os.kill(shop.router.process.pid, signal.SIGKILL)
    shop.until(lambda: not lives(champion) and not lives(candidate), 30.0)
