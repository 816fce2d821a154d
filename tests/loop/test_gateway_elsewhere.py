"""A gateway in another folder than the daemon's, as processes: flags come over HTTP alone."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from loop_processes import LoopProcesses
from waiting import until

from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

pytestmark = pytest.mark.timeout(600)

KEY, OTHER = "a key of 16 characters", "another key of 16 or more"
CHAT = {"model": "rlwd", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


class Elsewhere:
    """A gateway with a state folder of its own, where no flag file ever comes."""

    def __init__(self, loop: LoopProcesses, folder: Path, key: str = KEY) -> None:
        folder.mkdir()
        shutil.copy(loop.folder / "rewards.toml", folder)
        self.port, self.path = free_port(), folder / "rlwd.toml"
        asks = f'flags_url = "http://{LOOPBACK}:{loop.http_port}/flags"\nflags_key = "{key}"'
        text = loop.path.read_text().replace("[gateway]", f"[gateway]\n{asks}", 1)
        self.path.write_text(text.replace(f"port = {loop.gateway_port}", f"port = {self.port}"))
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.server = Server(
            [sys.executable, "-m", "rlwd.daemon", "gateway", "--config", str(self.path)],
            name="gateway",
            log=folder / "gateway.log",
            healthy=answers(f"{self.url}/readyz"),
        )

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(
            f"{self.url}/readyz", timeout=5, trust_env=False, verify=NO_TLS
        ).json()
        return found

    def generation(self) -> int:
        return int(self.ready()["flag_generation"] or 0)

    def serves(self) -> int:
        return httpx.post(
            f"{self.url}/v1/chat/completions", json=CHAT, timeout=60, trust_env=False, verify=NO_TLS
        ).status_code


class Apart(LoopProcesses):
    """The daemon with flags over HTTP, and what an operator types beside it."""

    def sign(self) -> None:
        text = self.path.read_text()
        self.path.write_text(text.replace("[http]", f'[http]\nflags_key = "{KEY}"', 1))

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rlwd.daemon", *words, "--config", str(self.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def behind(self) -> list[tuple[str, int]]:
        flags = self.status()["flags"]
        return [
            (one["gateway"].partition("@")[0], one["generation"] - flags["generation"])
            for one in flags["gateways"]
        ]


@pytest.fixture(scope="module")
def apart(
    tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path, forks: ForkServer
) -> Iterator[tuple[Apart, Elsewhere]]:
    """A daemon, and a gateway that only shares engine and network with it."""
    folder = tmp_path_factory.mktemp("apart")
    with ForkedEngine(forks, tiny_policy, folder) as engine:
        loop = Apart(folder, tiny_policy, engine=engine, mlflow="")
        loop.sign()
        gateway = Elsewhere(loop, folder / "elsewhere")
        try:
            loop.daemon.start()
            gateway.server.start()
            yield loop, gateway
        finally:
            gateway.server.stop()
            loop.daemon.stop()


def test_it_follows_and_reports(apart: tuple[Apart, Elsewhere]) -> None:
    """What an operator decides beside the daemon is acted on there, and the daemon knows."""
    loop, gateway = apart
    assert gateway.serves() == 200
    before = gateway.generation()
    loop.command("experiment", "start", "ui", "--arms", "old,new", "--reason", "try")
    until(lambda: gateway.generation() > before)
    until(lambda: loop.behind() == [("gateway", 0)], told=lambda: str(loop.behind()))
    loop.command("experiment", "stop", "ui", "--reason", "seen")
    until(lambda: loop.behind() == [("gateway", 0)] and gateway.generation() > before + 1)
    assert not list(gateway.path.parent.rglob("flags.json"))


def test_without_the_daemon_it_goes_on(apart: tuple[Apart, Elsewhere]) -> None:
    """A killed daemon costs no request, not even where the gateway restarts meanwhile."""
    loop, gateway = apart
    known = gateway.generation()
    loop.daemon.kill()
    assert gateway.serves() == 200
    gateway.server.stop()
    gateway.server.start()
    assert (gateway.serves(), gateway.generation()) == (200, known)
    metrics = httpx.get(f"{gateway.url}/metrics", trust_env=False, verify=NO_TLS).text
    assert "rlwd_gateway_flag_problem 1" in metrics
    loop.daemon.start()
    loop.command("experiment", "start", "ui2", "--arms", "old,new", "--reason", "try")
    until(lambda: gateway.generation() > known)
    until(lambda: loop.behind() == [("gateway", 0)], told=lambda: str(loop.behind()))


def test_with_another_key_it_serves_nobody_and_says_why(apart: tuple[Apart, Elsewhere]) -> None:
    """The log names the key, and nobody is sent anywhere by flags that it cannot check."""
    loop, _ = apart
    stranger = Elsewhere(loop, loop.folder / "stranger", OTHER)
    stranger.server.spawn()
    try:
        wrong = "http.flags_key is not gateway.flags_key"
        until(lambda: wrong in stranger.server.tail(), told=stranger.server.tail)
        assert stranger.serves() == 503
    finally:
        stranger.server.stop()
