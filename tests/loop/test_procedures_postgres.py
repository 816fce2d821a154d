"""docs/runbook.md, what needs a server: the state moves to PostgreSQL and back, and a member joins there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from another_database import another_database
from kafka_server import KafkaServer
from plant import Plant
from procedures_only import NEEDS_CREATEDB, PROCEDURES
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    PROCEDURES,
    NEEDS_CREATEDB,
]

SERVED = "postgresql://rlwd@db/rlwd"
"""The server as the page names it."""
NAMED = 'database = "file:database-url"'


@pytest.fixture(scope="module")
def plant(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_policy: Path,
    kafka_server: KafkaServer,
    postgres_url: str,
) -> Iterator[Plant]:
    """A daemon on SQLite and a gateway at work, on Kafka; a server without a database for them."""
    folder = tmp_path_factory.mktemp("moved")
    with EmbeddedServer(tiny_policy, folder) as engine:
        plant = Plant(folder, tiny_policy, engine, kafka_server.bootstrap)
        where, url = another_database(postgres_url, "moved")
        plant.steps.environment |= where
        plant.steps.replaced |= {
            "createdb rlwd": f"createdb {urlsplit(url).path.lstrip('/')}",
            SERVED: url,
            "editor /etc/rlwd/rlwd.toml": f"sed -i 's#^database = .*#{NAMED}#' {plant.path}",
        }
        kafka_server.create_topics(plant.topics, partitions=2)
        try:
            plant.start()
            yield plant
        finally:
            plant.stop()


def test_the_state_moves_to_a_server(plant: Plant) -> None:
    """People are answered all the while; every answer and what was said of it is there, once."""
    for _ in range(4):
        assert plant.judge(plant.answer()) == 202
    plant.all_known()
    for _ in plant.steps.follow("Moving from SQLite to PostgreSQL"):
        assert plant.judge(plant.answer()) == 202
    plant.config = load_config(plant.path)
    assert isinstance(plant.config.state_database, str)
    plant.follows()
    plant.all_known()
    assert not list(plant.config.state_path.glob("rlwd.db*"))
    until(lambda: plant.ask("SELECT COUNT(*) FROM feedback") == [(plant.asked,)])


def test_an_ingest_member_joins(plant: Plant) -> None:
    """The unit that the page makes runs; it takes partitions over, and each answer is counted once."""
    for _ in plant.steps.follow("Adding a replica", "**An ingest member**"):
        plant.answer()

    def partitions() -> list[str]:
        url = f"http://{LOOPBACK}:{plant.ingest_port}/statusz"
        shown = {"Authorization": f"Bearer {plant.key('http-token')}"}
        page = httpx.get(url, headers=shown, timeout=30, trust_env=False, verify=NO_TLS)
        return list(page.json()["live"].get("partitions", ()))

    until(partitions)
    for _ in range(4):
        assert plant.judge(plant.answer()) == 202
    plant.all_known()
    assert plant.ingest is not None
    plant.ingest.stop()
    assert all(each["duplicate"] == 0 for each in plant.status()["records"].values())


def test_a_server_that_is_away_is_a_problem_with_its_name(
    plant: Plant, postgres_server: Any
) -> None:
    """`/readyz` names the database while people are answered; back, all of it arrives."""
    postgres_server.stop()
    try:
        until(lambda: "database" in plant.problems())
        for _ in range(3):
            assert plant.judge(plant.answer()) == 202
    finally:
        postgres_server.start()
    until(lambda: "database" not in plant.problems())
    plant.all_known()


def test_the_state_moves_back(plant: Plant) -> None:
    """As a backup of the server that is restored into an empty state; what came since is read again."""
    plant.steps.done("Backup and restore")
    plant.answer()
    plant.all_known()
    text = plant.path.read_text()
    plant.path.write_text(text.replace(NAMED, 'database = ""'))
    for _ in plant.steps.follow("Backup and restore", "To restore"):
        plant.answer()
    plant.config = load_config(plant.path)
    plant.follows()
    plant.all_known()
    assert (plant.config.state_path / "rlwd.db").exists()
