"""A street: one engine and one gateway, a parent, and a specialist for each of two tenants."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
from forked import ForkServer
from forked_engine import ForkedEngine
from lone_daemon import LoneDaemon
from typer.testing import CliRunner
from waiting import until

from rlwd.daemon.cli import app
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.http.credentials import hash_token
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

TENANTS = ("acme", "globex")
"""Those with a specialist."""
PARENTS = "initech"
"""One whose people are the parent's."""
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
[clients.{parents}]
tokens = ["{token}"]
tenant = "{parents}"
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

    def __init__(
        self, folder: Path, engine: EmbeddedServer, model: Path, *, more: str = ""
    ) -> None:
        """`more` are further sections of all policies."""
        self.engine, self.port = engine, free_port()
        known = {"gateway": self.port, "http": free_port(), "engine": engine.url, "model": model}
        known |= {"parents": PARENTS, "token": hash_token(PARENTS)}
        tenants = [TENANT.format(name=name, token=hash_token(name)) for name in TENANTS]
        whole = "".join((PARENT.format(**known), *tenants, more))
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

    def typed(self, *words: str, policy: str) -> tuple[int, str]:
        """Type a command on one's config; return its exit status and what it printed."""
        done = CliRunner().invoke(app, [*words, "-c", str(self.files[policy])])
        return done.exit_code, done.output

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


@contextmanager
def open_street(
    forks: ForkServer, model: Path, folder: Path, *, more: str = ""
) -> Iterator[Street]:
    """A street whose engine, gateway and parent are started; what runs at the end is stopped."""
    with ForkedEngine(forks, model, folder) as engine:
        made = Street(folder, engine, model, more=more)
        try:
            made.daemons["main"].spawn()
            made.gateway.start()
            yield made
        finally:
            made.stop()
