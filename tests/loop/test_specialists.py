"""Two tenants through one gateway, each with a policy of its own: neither's answers reach the other's weights.

Real daemons, learners, gateway and embedded engine on one machine; one daemon is killed on its way.
"""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from ledger_by_hand import generation
from lone_daemon import LoneDaemon
from typer.testing import CliRunner
from waiting import until

from rlwd.daemon.cli import app
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.http.credentials import hash_token
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port
from rlwd.streams.log.embedded_log import EmbeddedSink

pytestmark = pytest.mark.timeout(600)

TENANTS = ("acme", "globex")
ADAPTERS = 6
PARENT = """\
policy = "main"
stop_seconds = 6.0
look_seconds = 0.5
[stream]
poll_seconds = 0.05
[batch]
episodes = 8
held_out = 0.0
user_share = 1.0
[learner]
model = "{model}"
device = "cpu"
lora_rank = 4
lora_alpha = 4.0
passes = 1
pack_tokens = 256
threads = 1
[engine]
urls = ["{engine}"]
adapters = 18
[gate]
probe_rounds = 0
probe_most_rounds = 0
[gateway]
port = {gateway}
engines = ["{engine}"]
user_key = "a key of the gateways"
show_variant = true
[http]
port = {http}
"""
TENANT = """\
[clients.{name}]
tokens = ["{token}"]
tenant = "{name}"
[specialists.{name}]
tenants = ["{name}"]
least_answers = 8
least_users = 4
"""
OWN = 'policy = "{name}"\nparent = "rlwd.toml"\n[http]\nport = {http}\n'


class Street:
    """One engine and one gateway, a parent, and a specialist for each tenant."""

    def __init__(self, folder: Path, engine: EmbeddedServer, model: Path) -> None:
        self.engine, self.port = engine, free_port()
        ports = {"gateway": self.port, "http": free_port(), "engine": engine.url, "model": model}
        whole = PARENT.format(**ports) + "".join(
            TENANT.format(name=name, token=hash_token(name)) for name in TENANTS
        )
        self.files = {"main": folder / "rlwd.toml"}
        self.files["main"].write_text(whole)
        for name in TENANTS:
            self.files[name] = folder / f"{name}.toml"
            self.files[name].write_text(OWN.format(name=name, http=free_port()))
        self.configs: dict[str, Config] = {n: load_config(path) for n, path in self.files.items()}
        self.daemons = {name: LoneDaemon(path) for name, path in self.files.items()}
        command = [sys.executable, "-m", "rlwd.daemon", "gateway", "-c", str(self.files["main"])]
        self.gateway = Server(
            command,
            name="gateway",
            log=folder / "gateway.log",
            healthy=answers(f"http://{LOOPBACK}:{self.port}/readyz"),
        )
        self.given = defaultdict[str, list[str]](list)

    def ask(self, tenant: str, user: str) -> httpx.Response:
        """Ask as one of a tenant's people, who takes every second answer and refuses the others."""
        with httpx.Client(
            base_url=f"http://{LOOPBACK}:{self.port}",
            headers={"Authorization": f"Bearer {tenant}", "X-Rlwd-User": user},
            timeout=60.0,
            verify=NO_TLS,
        ) as client:
            asked = {"messages": [{"role": "user", "content": f"{tenant} {user}"}], "max_tokens": 4}
            answer = client.post("/v1/chat/completions", json=asked)
            assert answer.status_code == 200, answer.text
            name = answer.json()["id"]
            kind = "accepted" if len(self.given[tenant]) % 2 else "rejected"
            self.given[tenant].append(name)
            said = {"feedback_id": name, "generation_id": name, "signal": {"kind": kind}}
            assert client.post("/v1/feedback", json=said).status_code == 202
        return answer

    def made(self, name: str) -> list[Manifest]:
        """Return the checkpoints of a policy that a batch made."""
        found = read_manifests(self.configs[name].state_path / "checkpoints")
        return [one for one in found if one.batch_id is not None]

    def audit(self, name: str) -> dict[str, Any]:
        """Return what `rlwd audit` says of a policy, once it closes: what was made is soon taken in."""
        command = ["audit", "--json", "--answers", "-c", str(self.files[name])]
        told = CliRunner().invoke(app, command)
        found: dict[str, Any] = orjson.loads(told.stdout)
        assert (told.exit_code, found["problems"]) == (0, [])
        return found

    def until(self, done: Any) -> None:
        until(
            done,
            240.0,
            told=lambda: "\n".join(
                f"{one.name} {one.live}\n{one.tail()}" for one in self.daemons.values()
            ),
        )

    def stop(self) -> None:
        self.gateway.stop()
        for daemon in self.daemons.values():
            daemon.stop(10.0)


@pytest.fixture
def street(tiny_policy: Path, tmp_path: Path, forks: ForkServer) -> Iterator[Street]:
    with ForkedEngine(forks, tiny_policy, tmp_path) as engine:
        made = Street(tmp_path, engine, tiny_policy)
        try:
            made.daemons["main"].spawn()
            made.gateway.start()
            yield made
        finally:
            made.stop()


def forge(street: Street) -> None:
    """Write onto acme's topic what is of another tenant, and what says that it is of another policy."""
    config, now = street.configs["acme"], time.time()
    sink = EmbeddedSink(config.log_path)
    for name, more in (
        ("forged.tenant", {"tenant": "globex"}),
        ("forged.policy", {"tenant": "acme", "policy": "globex"}),
    ):
        record = generation(name, now, session_id=name, variant="candidate", **more)
        sink.send(config.stream.generations, name, record)
    sink.flush(10.0)
    sink.close()


def test_two_tenants_learn_side_by_side_and_neither_from_the_other(street: Street) -> None:
    """Each begins with its parent's weights, learns from its own people alone, and serves them, also after a
    kill in the middle; its first version can be made again from there. What is forged onto a topic is excluded by name; the engine never holds more than
    each one's share.
    """
    for number in range(8):
        for tenant in TENANTS:
            answer = street.ask(tenant, f"u{number}")
            assert answer.headers["X-Rlwd-Version"].startswith("main@v000000")
    forge(street)
    for tenant in TENANTS:
        street.daemons[tenant].spawn()
    state = street.configs["acme"].state_path
    street.until(lambda: (state / "checkpoints" / "000000").is_dir() or street.made("acme"))
    street.daemons["acme"].kill()
    street.daemons["acme"].spawn()
    street.until(lambda: all(street.made(tenant) for tenant in TENANTS))
    for tenant in TENANTS:
        street.until(
            lambda tenant=tenant: (
                street.ask(tenant, "u1").headers["X-Rlwd-Version"].startswith(f"{tenant}@v")
            )
        )
        street.until(lambda tenant=tenant: street.daemons[tenant].live.get("champion"))
    with closing(HttpEngine(street.engine.url)) as engine:
        held = [name.partition("@")[0] for name in engine.loaded()]
    assert {name: held.count(name) <= ADAPTERS - 1 for name in ("main", *TENANTS)} == dict.fromkeys(
        ("main", *TENANTS), True
    )
    street.stop()

    for tenant in TENANTS:
        found = street.audit(tenant)
        first, *later = found["learned_from"]
        assert first["parent"].startswith("main@v000000")
        assert later, "it learned"
        assert {one["tenant"] for one in later} == {tenant}
        learned = [name for one in later for name in one["answers"]]
        assert len(learned) == len(set(learned)) > 0
        assert set(learned) <= set(street.given[tenant])
    made = street.made("acme")[0].version
    command = [
        sys.executable,
        "-m",
        "rlwd.daemon",
        "rebuild",
        made,
        "-c",
        str(street.files["acme"]),
    ]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    fates = [row["fates"] for row in street.audit("acme")["generations"]]
    assert sum(one.get("excluded:other_policy", 0) for one in fates) == 2
    parent = street.audit("main")
    assert [one["answers"] for one in parent["learned_from"]] == [[]]
    assert parent["generations"] == []
    assert msgspec.to_builtins(street.made("main")) == []
