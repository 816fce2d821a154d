"""docs/runbook.md, procedures: what the page says is typed, on a loop that people use meanwhile."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kafka.admin import KafkaAdminClient
from kafka_server import KafkaServer
from plant import Plant
from procedures_only import PROCEDURES
from waiting import until

from rlwd.daemon.exit_status import FAULT
from rlwd.daemon.store import state_view
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS
from rlwd.streams.join.episodes_table import load_episodes

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    PROCEDURES,
]

PARTITIONS = 2


@pytest.fixture(scope="module")
def plant(
    tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path, kafka_server: KafkaServer
) -> Iterator[Plant]:
    """A daemon and a gateway at work, on Kafka."""
    folder = tmp_path_factory.mktemp("plant")
    with EmbeddedServer(tiny_policy, folder) as engine:
        plant = Plant(folder, tiny_policy, engine, kafka_server.bootstrap)
        kafka_server.create_topics(plant.topics, partitions=PARTITIONS)
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


def test_a_person_is_erased(plant: Plant) -> None:
    """While the daemon runs; nothing that they said is left, and each of their answers has its fate."""
    plant.steps.replaced |= {"USER": "ada", "TENANT": "default"}
    before = plant.answer(user="ada")
    plant.all_known()
    (known,) = plant.ask("SELECT user_hash FROM episodes WHERE generation_id = ?", before["id"])
    plant.steps.done("Erasing a person")
    assert plant.ask("SELECT 1 FROM episodes WHERE user_hash = ?", *known) == []
    assert str(known[0]) in plant.config.erasures_path.read_text()
    plant.answer(user="ada")
    plant.all_known()


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


def test_only_checkpoints_are_lost(plant: Plant) -> None:
    """The daemon says so and stays down; the backup puts back both, and the log the rest."""
    for each in plant.config.state_path.glob("lost-*"):
        shutil.rmtree(each)  # as the page says, when all is well
    plant.daemon.stop()
    shutil.rmtree(plant.config.state_path / "checkpoints")
    plant.daemon.spawn()
    assert plant.daemon.process is not None
    assert plant.daemon.process.wait(120) == FAULT
    assert "holds no checkpoint" in plant.daemon.tail()
    for _ in plant.steps.follow("Backup and restore", "To restore"):
        plant.answer()
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


def told_of_the_log(plant: Plant) -> str:
    shown = {"Authorization": f"Bearer {plant.key('http-token')}"}
    url = f"http://{LOOPBACK}:{plant.http_port}/readyz"
    page = httpx.get(url, headers=shown, timeout=30, trust_env=False, verify=NO_TLS)
    return str(page.json()["problems"].get("log", ""))


def test_the_brokers_disk_is_lost(plant: Plant, kafka_server: KafkaServer) -> None:
    """With topics made anew partitions stand still; the commands that `/readyz` names let them go on."""
    for _ in range(8):
        plant.judge(plant.answer())
    plant.all_known()
    read = {name for name, each in plant.status()["records"].items() if each["delivered"]}
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    admin.delete_topics(plant.topics)
    until(lambda: not set(plant.topics) & set(admin.list_topics()))
    admin.close()
    kafka_server.create_topics(plant.topics, partitions=PARTITIONS)

    def commands() -> list[str]:
        return re.findall(r"`(rlwd accept-gap \S+ \d+ --back)`", told_of_the_log(plant))

    until(lambda: {one.split()[2] for one in commands()} == read, 120.0)
    for command in commands():
        plant.steps.type(command)
    until(lambda: not told_of_the_log(plant), told=lambda: told_of_the_log(plant))
    plant.answer()
    plant.all_known()


def test_a_clients_token_is_rotated(plant: Plant) -> None:
    """The old one opens the gateway until the next rotation, and the new one at once."""
    plant.steps.replaced["NAME"] = "shop"
    plant.token = old = plant.steps.type("rlwd client add shop").strip()
    plant.gateway.stop()
    plant.gateway.start()
    printed = ""
    for line in plant.steps.follow("Rotating keys", "**A client's token**"):
        printed = plant.steps.printed.strip() if "rotate" in line else printed
        assert plant.judge(plant.answer()) == 202, "by the old one"
    plant.token = printed
    assert plant.judge(plant.answer()) == 202
    plant.token = plant.steps.type("rlwd client rotate NAME --revoke").strip()
    plant.gateway.stop()
    plant.gateway.start()
    plant.answer()
    for each in (old, printed):
        plant.token = each
        assert plant.ask_for().status_code == 401
    plant.all_known()
