"""docs/runbook.md: the passwords of PostgreSQL and of Kafka are rotated, both over what really asks for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from another_database import another_database
from kafka_security import PASSWORD, USER, KafkaSecurity
from kafka_server import KafkaServer, kafka_jars
from plant import IN_FILES, Plant
from procedures_only import NEEDS_CREATEDB, PROCEDURES

from rlwd.daemon.config import load_config
from rlwd.daemon.exit_status import FAULT
from rlwd.ops.servers.embedded_server import EmbeddedServer

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    PROCEDURES,
    NEEDS_CREATEDB,
]

ROLE, OLD = "rotated", "an-old-one"
SECURED = """\
security.security_protocol = "SASL_SSL"
security.ssl_cafile = "{certificate}"
security.sasl_mechanism = "SCRAM-SHA-512"
security.sasl_plain_username = "{user}"
security.sasl_plain_password = "file:kafka-password"
"""
CONFIGS = '#!/bin/sh\nexec java -cp "{jars}/*" kafka.admin.ConfigCommand "$@"\n'
"""Kafka's own script is not among its jars."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that asks for a password."""
    folder = tmp_path_factory.mktemp("secured")
    with KafkaServer(folder, security=KafkaSecurity(folder)) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def login(postgres_server: Any, postgres_url: str) -> Iterator[None]:
    """A role of the server's that nobody gets in by without its password."""
    import psycopg

    rules = postgres_server.pgdata / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all {ROLE} scram-sha-256\n{before}")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD '{OLD}'")
        server.execute("SELECT pg_reload_conf()")
        yield
        rules.write_text(before)
        server.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def plant(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_policy: Path,
    secured: KafkaServer,
    postgres_url: str,
    login: None,
) -> Iterator[Plant]:
    """A daemon and a gateway at work, which show both servers a password of a file."""
    folder = tmp_path_factory.mktemp("passwords")
    security = secured.security
    assert security is not None
    lines = SECURED.format(certificate=security.certificate, user=USER)
    with EmbeddedServer(tiny_policy, folder) as engine:
        plant = Plant(
            folder, tiny_policy, engine, security.sasl, {**IN_FILES, "stream.kafka": lines}
        )
        (folder / "kafka-password").write_text(PASSWORD)
        where, url = another_database(postgres_url, "passwords")
        plant.steps.environment |= where
        parts = urlsplit(url)
        place = f"@{url.rpartition('@')[2]}"
        plant.steps.replaced |= {
            "BROKER:9092": secured.bootstrap,
            "ALTER ROLE rlwd": f"ALTER ROLE {ROLE}",
            "-h db postgres": "postgres",
            "postgresql://rlwd:": f"postgresql://{ROLE}:",
            "@db/rlwd": place,
        }
        plant.steps.program("kafka-configs.sh", CONFIGS.format(jars=kafka_jars()))
        plant.steps.type(f"createdb {parts.path.lstrip('/')}")
        (folder / "database-url").write_text(f"postgresql://{ROLE}:{OLD}{place}")
        text = plant.path.read_text()
        plant.path.write_text(text.replace('database = ""', 'database = "file:database-url"', 1))
        plant.config = load_config(plant.path)
        stream = plant.config.stream
        secured.create_topics(
            [stream.generations, stream.feedback, stream.dead_letters], partitions=2
        )
        try:
            plant.start()
            yield plant
        finally:
            plant.stop()


def refused(plant: Plant, says: str) -> None:
    """A daemon that is restarted between two commands says which key is wrong, and stays down."""
    plant.daemon.stop()
    plant.daemon.spawn()
    assert plant.daemon.process is not None
    assert plant.daemon.process.wait(240) == FAULT
    assert says in plant.daemon.tail()


def test_the_databases_password_is_rotated(plant: Plant) -> None:
    """People are answered all the while, and every answer and judgement is in the ledger once."""
    import psycopg

    before = (plant.folder / "database-url").read_text()
    assert plant.judge(plant.answer()) == 202
    plant.all_known()
    for line in plant.steps.follow("Rotating keys", "**The database's password**"):
        if "ALTER ROLE" in line:
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(before)
            refused(plant, "database: ")
        assert plant.judge(plant.answer()) == 202
    plant.config = load_config(plant.path)
    plant.follows()
    plant.all_known()


def test_kafkas_password_is_rotated(plant: Plant) -> None:
    """As above; what gateways could not send meanwhile arrives."""
    for line in plant.steps.follow("Rotating keys", "**Kafka's password**"):
        if line.startswith("openssl"):
            refused(plant, "stream.kafka.security")
        assert plant.judge(plant.answer()) == 202
    plant.follows()
    plant.all_known()
    assert plant.key("kafka-password") != PASSWORD
