"""docs/runbook.md, procedures: what the page says is typed, on a loop that people use meanwhile."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from kafka_server import KafkaServer
from loop_processes import LoopProcesses
from runbook_steps import RunbookSteps
from waiting import until

from rlwd.daemon.commands.status import state_view
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.join.episodes_table import load_episodes

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("RLWD_PROCEDURES"),
        reason="it starts a loop many times over: make procedures",
    ),
]

KEYS = ("http-token", "flags-key", "user-key")
GATEWAY = """\
[gateway]
user_key = "file:user-key"
flags_url = "http://{host}:{http}/flags"
flags_key = "file:flags-key"
"""
HTTP = """\
[http]
token = "file:http-token"
flags_key = "file:flags-key"
"""


class Plant(LoopProcesses):
    """A loop whose units are its own processes, with all keys in files, and a second engine to come."""

    def __init__(self, folder: Path, model: Path, engine: EmbeddedServer, kafka: str) -> None:
        super().__init__(
            folder,
            model,
            policy=f"plant-{uuid.uuid4().hex[:8]}",
            engine=engine,
            kafka=kafka,
            mlflow="",
        )
        text = self.path.read_text()
        text = text.replace("[gateway]\n", GATEWAY.format(host=LOOPBACK, http=self.http_port))
        self.path.write_text(text.replace("[http]\n", HTTP))
        for name in KEYS:
            (folder / name).write_text(uuid.uuid4().hex)
        self.ports = {"8080": self.gateway_port, "8081": free_port()}
        self.gateways = {
            name: self._server("gateway", port, "--port", str(port))
            for name, port in self.ports.items()
        }
        self.gateway = self.gateways["8080"]
        self.another = EmbeddedServer(model, folder / "another")
        more = f's#"{engine.url}"#"{engine.url}", "{self.another.url}"#'
        self.steps = RunbookSteps(
            self.path,
            self._unit,
            {
                "editor /etc/rlwd/rlwd.toml": f"sed -i '{more}' {self.path}",
                "sh ops/deploy/install.sh": "true",
                "install -d -o rlwd -g rlwd -m 700": "mkdir -p",
                "/etc/rlwd/secrets": str(folder),
                "/etc/rlwd": str(folder),
                "/var/lib/rlwd": str(self.config.state_path),
                "/var/backups": str(folder / "backups"),
                "8090": str(self.http_port),
                **{name: str(port) for name, port in self.ports.items()},
            },
        )
        (folder / "backups").mkdir()
        self.asked = 0

    def _unit(self, action: str, unit: str) -> None:
        ports = {str(port): name for name, port in self.ports.items()}
        port = unit.partition("@")[2]
        server = self.gateways[ports[port]] if port else self.daemon
        if action in ("stop", "restart"):
            server.stop()
        if action in ("start", "restart", "enable"):
            server.start()

    def stop(self) -> None:
        """Stop the second gateway and the second engine, too."""
        for server in (*self.gateways.values(), self.daemon, self.another):
            server.stop()

    def answer(self, which: str = "8080", user: str = "") -> dict[str, Any]:
        """Let somebody ask; return the answer, which has to come."""
        self.asked += 1
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
        who = {"X-Rlwd-User": user or f"user{self.asked}", "X-Rlwd-Session": f"s{self.asked}"}
        who["X-Rlwd-Consent"] = "true"
        url = f"{self.url(which)}/v1/chat/completions"
        answer = httpx.post(url, json=body, headers=who, timeout=60, trust_env=False, verify=NO_TLS)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def judge(self, answer: dict[str, Any]) -> int:
        """Let somebody accept an answer; return the status."""
        said = {
            "feedback_id": uuid.uuid4().hex,
            "generation_id": answer["id"],
            "signal": {"kind": "accepted"},
        }
        url = f"{self.url('8080')}/v1/feedback"
        return httpx.post(url, json=said, timeout=60, trust_env=False, verify=NO_TLS).status_code

    def url(self, which: str) -> str:
        """Where a gateway is."""
        return f"http://{LOOPBACK}:{self.ports[which]}"

    def key(self, name: str) -> str:
        """What a key is now."""
        return (self.folder / name).read_text().strip()

    def page(self, token: str) -> int:
        """Return what the daemon's pages say to who shows a token."""
        shown = {"Authorization": f"Bearer {token}"}
        url = f"http://{LOOPBACK}:{self.http_port}/statusz"
        return httpx.get(url, headers=shown, timeout=30, trust_env=False, verify=NO_TLS).status_code

    def follows(self) -> None:
        """Wait until every gateway that runs acts on the daemon's newest flags."""

        def acted_on() -> set[int]:
            running = [name for name, each in self.gateways.items() if each.alive]
            pages = (
                httpx.get(f"{self.url(name)}/readyz", trust_env=False, verify=NO_TLS)
                for name in running
            )
            return {int(orjson.loads(page.content)["flag_generation"] or 0) for page in pages}

        def newest() -> bool:
            flags = read_flags(self.config.flags_path)
            return flags is not None and acted_on() == {flags.generation}

        until(newest, told=lambda: f"{acted_on()} {read_flags(self.config.flags_path)}")

    def all_known(self) -> None:
        """Wait until the state has every answer that anybody got, once."""
        until(lambda: self.status()["generations"] == self.asked, told=lambda: str(self.status()))


@pytest.fixture(scope="module")
def plant(
    tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path, kafka_server: KafkaServer
) -> Iterator[Plant]:
    """A daemon and a gateway at work, on Kafka."""
    folder = tmp_path_factory.mktemp("plant")
    with EmbeddedServer(tiny_policy, folder) as engine:
        plant = Plant(folder, tiny_policy, engine, kafka_server.bootstrap)
        stream = plant.config.stream
        kafka_server.create_topics(
            [stream.generations, stream.feedback, stream.dead_letters], partitions=2
        )
        try:
            plant.start()
            yield plant
        finally:
            plant.stop()


def test_keys_are_rotated(plant: Plant) -> None:
    """The old token opens nothing, gateways go on by their last flags until the new key is theirs, and
    with another user key everybody is a new person."""
    old = plant.key("http-token")
    for _ in plant.steps.follow("Rotating keys", "**`http.token`**"):
        plant.answer()
    assert plant.page(old) in (401, 403)
    assert plant.page(plant.key("http-token")) == 200
    for _ in plant.steps.follow("Rotating keys", "**`http.flags_key`"):
        plant.answer()
    plant.follows()
    before = plant.answer(user="ada")
    assert plant.judge(before) == 202
    plant.steps.done("Rotating keys", "**`gateway.user_key`**")
    after = plant.answer(user="ada")
    assert plant.judge(after) == 202
    plant.all_known()
    hashes = "SELECT COUNT(DISTINCT user_hash) FROM episodes WHERE generation_id IN (?, ?)"
    assert plant.ask(hashes, before["id"], after["id"]) == [(2,)]


def test_an_engine_and_a_gateway_are_added(plant: Plant) -> None:
    """The new engine has what is served before anybody is sent there, and answers its share."""
    plant.another.start()
    for _ in plant.steps.follow("Adding a replica", "**An engine**"):
        plant.answer()
    engine = HttpEngine(plant.another.url)
    flags = read_flags(plant.config.flags_path)
    assert flags is not None
    assert flags.champion.version in engine.loaded()
    engine.close()
    plant.steps.done("Adding a replica", "**A gateway**")
    for _ in range(8):
        plant.answer("8081")
    plant.follows()
    plant.all_known()
    with state_view(plant.config.state_database) as view:
        rows = view.execute("SELECT generation_id FROM episodes").fetchall()
        known = load_episodes(view, plant.config.policy, [row[0] for row in rows])
    assert {each.generation.engine for each in known} == {plant.engine.url, plant.another.url}


def test_an_upgrade_keeps_people_answered(plant: Plant) -> None:
    """Backup, restarts one after the other, audit and doctor, and back: each ends well, each answer is
    counted. tests/ops/test_systemd.py does it with releases.
    """
    for heading in ("Upgrade", "Going back"):
        for _ in plant.steps.follow(heading):
            plant.answer()
    plant.all_known()


def test_a_state_is_lost_and_restored(plant: Plant) -> None:
    """The page's commands put the backup back; what came since is read from the log."""
    plant.steps.done("Backup and restore")
    plant.answer()
    plant.all_known()
    for _ in plant.steps.follow("Backup and restore", "To restore"):
        plant.answer()
    assert len(list(plant.config.state_path.glob("lost-*/rlwd.db"))) == 1
    plant.follows()
    plant.all_known()


def test_a_state_is_lost_without_a_backup(plant: Plant) -> None:
    """An empty disk reads what the log holds, and its flags go above those that gateways hold."""
    for line in plant.steps.follow("Losing a disk", "**The state's disk**"):
        if line == "systemctl stop rlwd":
            shutil.rmtree(plant.config.state_path)
        plant.answer()
    plant.follows()
    plant.all_known()
    with state_view(plant.config.state_database) as view:
        assert view.execute("SELECT COUNT(*) FROM champions").fetchone() == (1,)


def test_a_spool_is_lost(plant: Plant) -> None:
    """The gateway begins another one, and what it writes from then on arrives."""
    plant.answer()
    plant.all_known()
    plant.steps.done("Losing a disk", "**A gateway's spool**")
    plant.answer()
    plant.all_known()
