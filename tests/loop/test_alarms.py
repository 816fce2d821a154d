"""Alerts that happen: things are taken away from a real loop while a real Prometheus looks on.

Its rules are those that we ship with each minute of them a second, so that nobody waits for half an
hour; tests/ops/alerts.test.yaml holds them at their own pace. Each test puts right what it broke, and
the alert has to end by that. What the runbook says to type for a check is typed while it fires.
"""

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kafka import KafkaProducer
from kafka_server import KafkaServer
from procedures_only import procedures_only
from prometheus_server import PrometheusServer, prometheus_folder
from small_disk import fill_up, small_disk
from waiting import until
from watched_plant import CONSUMER, Watched, hurried

from rlwd.ops.servers.embedded_server import EmbeddedServer

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(1200),
    procedures_only("alerts take their time"),
]

ALERTS = Path(__file__).parents[2] / "ops" / "deploy" / "alerts.yaml"
SPOOL_BYTES = 300_000
DISK_MEGABYTES = 192


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path) -> Iterator[Watched]:
    """A loop that is well, on a small disk of its own where one can be mounted."""
    prometheus_folder()
    folder = tmp_path_factory.mktemp("alarms")
    (folder / "state").mkdir()
    with (
        EmbeddedServer(tiny_policy, folder) as engine,
        KafkaServer(folder / "kafka") as kafka,
    ):
        small = {"gateway": f"spool_max_bytes = {SPOOL_BYTES}"}
        plant = Watched(folder, tiny_policy, engine, kafka.bootstrap, small)
        plant.kafka = kafka
        plant.several_workers("8081")
        plant.steps.replaced |= {
            "http://127.0.0.1:8000": engine.url,
            "BROKER:9092": kafka.bootstrap,
        }
        consumer = CONSUMER.format(python=sys.executable, kafka=kafka.bootstrap)
        plant.steps.program("kafka-console-consumer.sh", consumer)
        stream = plant.config.stream
        kafka.create_topics([stream.generations, stream.feedback, stream.dead_letters], 2)
        rules = folder / "alerts.yaml"
        rules.write_text(hurried(ALERTS.read_text()))
        jobs = {"rlwd": [plant.http_port], "rlwd-gateway": [*plant.ports.values()]}
        plant.prometheus = PrometheusServer(folder, jobs, rules)
        with small_disk(folder / "state", DISK_MEGABYTES):
            try:
                plant.start()
                plant.prometheus.start()
                yield plant
            finally:
                plant.prometheus.stop()
                plant.stop()


def test_an_engine_is_gone(plant: Watched) -> None:
    """People are told to come again; the engine that is back is filled, and answers."""
    assert plant.ask_for().status_code == 200
    plant.engine.stop()
    plant.fire("RlwdEngineProblem", "RlwdGatewayFails", meanwhile=plant.ask_for)
    assert plant.named("engine")
    assert plant.ask_for().status_code == 503
    assert f"{plant.engine.url}" in plant.steps.check("RlwdEngineProblem")
    plant.engine.start()
    plant.end("RlwdEngineProblem", "RlwdGatewayFails", meanwhile=plant.ask_for)
    assert plant.ask_for().status_code == 200


def test_the_broker_is_gone(plant: Watched) -> None:
    """Answers go out and are spooled, then the oldest are dropped and counted; daemon and gateway say so."""

    def ask() -> None:
        for _ in range(5):
            assert plant.ask_for().status_code == 200

    plant.kafka.stop()
    lost = ("RlwdSpoolFilling", "RlwdRecordsLost")
    plant.fire("RlwdLogAway", "RlwdLogUnread", *lost, meanwhile=ask)
    assert plant.named("log")
    assert "nothing was heard of it for" in plant.steps.check("RlwdLogUnread")
    assert f"kafka at {plant.kafka.bootstrap}" in plant.steps.check("RlwdLogAway")
    assert "spool" in plant.steps.check("RlwdSpoolFilling")
    plant.kafka.start()
    plant.end("RlwdLogAway", "RlwdLogUnread", *lost)
    assert not plant.named("log")
    assert "lost" in plant.steps.check("RlwdRecordsLost")
    plant.steps.type("rlwd audit")


def test_the_learner_dies_again_and_again(plant: Watched) -> None:
    """As when the kernel takes its memory back each time; one that is ready again ends the problem."""
    killed = set[int]()

    def another() -> bool:
        return plant.live().get("learner_pid") not in {None, *killed}

    for _ in range(3):
        until(another, pause=0.1)
        pid = int(plant.live()["learner_pid"])
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    plant.fire("RlwdLearnerDies", "RlwdLearnerDown")
    assert "last with status -9" in plant.steps.check("RlwdLearnerDown")
    assert "learner_died" in plant.steps.check("RlwdLearnerDies")
    plant.end("RlwdLearnerDies", "RlwdLearnerDown")
    assert not plant.named("learner")


def test_records_are_refused(plant: Watched) -> None:
    """What is no event is a dead letter with its reason; the topic has it, and status counts it."""
    sink = KafkaProducer(bootstrap_servers=plant.kafka.bootstrap)
    for number in range(20):
        sink.send(plant.config.stream.generations, f"no event {number}".encode(), key=b"s1")
    sink.flush()
    sink.close()
    plant.fire("RlwdDeadLetters")
    told = plant.steps.check("RlwdDeadLetters")
    assert f'"record":"{plant.config.stream.generations}/' in told
    assert '"reason":"' in told
    plant.end("RlwdDeadLetters")


def test_a_flag_file_that_cannot_be_written(plant: Watched) -> None:
    """Daemon and gateway both say so and go on; with the place free again the flags are written anew."""
    path = plant.config.flags_path

    def in_the_way() -> bool:
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        return path.is_dir()

    until(in_the_way)
    plant.fire("RlwdFlagsUnwritten", "RlwdFlagsUnusable")
    assert plant.named("flags")
    assert plant.ask_for().status_code == 200
    assert f"{path} cannot be written to" in plant.steps.check("RlwdFlagsUnwritten")
    assert plant.steps.check("RlwdFlagsUnusable")
    path.rmdir()
    plant.end("RlwdFlagsUnwritten", "RlwdFlagsUnusable")
    plant.follows()


def test_versions_are_held_by_hand(plant: Watched) -> None:
    """Status and metrics say so for as long as it lasts."""
    plant.steps.type('rlwd pause --reason "looking"')
    plant.fire("RlwdHeldByHand")
    assert "looking" in plant.steps.check("RlwdHeldByHand")
    assert "looking" in plant.steps.check("RlwdNoBatch")
    plant.steps.type("rlwd resume")
    plant.end("RlwdHeldByHand")


def test_workers_of_a_gateway_die_again_and_again(plant: Watched) -> None:
    """Each is started again, and people are answered meanwhile."""
    several = plant.gateways["8081"]

    def kill_one() -> None:
        workers = plant.workers("8081")
        if len(workers) == 2 and several.healthy():
            os.kill(min(workers), signal.SIGKILL)
            # A connection that the killed one had may break.
            with contextlib.suppress(httpx.TransportError):
                assert plant.ask_for("8081").status_code == 200

    several.start()
    try:
        plant.fire("RlwdWorkersDie", meanwhile=kill_one)
        assert "worker_died" in plant.steps.check("RlwdWorkersDie")
        plant.end("RlwdWorkersDie")
    finally:
        several.stop()


def test_the_database_is_locked_by_another_program(plant: Watched) -> None:
    """The daemon waits and goes on in the same life."""
    before = plant.daemon.process
    other = sqlite3.connect(plant.config.state_path / "rlwd.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        plant.fire("RlwdDatabaseAway")
        assert plant.named("database")
        assert plant.ask_for().status_code == 200
    finally:
        other.execute("ROLLBACK")
        other.close()
    plant.end("RlwdDatabaseAway")
    assert plant.daemon.process is before
    assert plant.daemon.alive


def test_a_process_that_is_restarted_again_and_again(plant: Watched) -> None:
    """Down for good it is another alert."""

    def restart() -> None:
        plant.gateway.stop()
        plant.gateway.start()

    plant.fire("RlwdRestarting", meanwhile=restart)
    plant.daemon.stop()
    plant.fire("RlwdDaemonDown")
    assert plant.ask_for().status_code == 200
    plant.daemon.start()
    plant.end("RlwdRestarting", "RlwdDaemonDown")


def test_a_disk_fills(plant: Watched) -> None:
    """It is told before; full, people are answered, and what is not recorded is counted."""
    if not (state := plant.config.state_path).is_mount():
        pytest.skip("no small disk can be mounted here")
    ballast = state / "old-backup"

    def ask() -> None:
        fill_up(ballast)
        for _ in range(5):
            assert plant.ask_for().status_code == 200

    fill_up(ballast, DISK_MEGABYTES * 50_000)
    plant.fire("RlwdDiskFilling")
    assert "old-backup" in plant.steps.check("RlwdDiskFilling")
    plant.fire("RlwdRecordsLost", meanwhile=ask)
    ballast.unlink()

    def started_again() -> None:
        # Where it had to write it said so, and ended, which takes a moment; an operator starts it again.
        if not plant.daemon.alive:
            assert "make room" in plant.daemon.tail()
            plant.daemon.start()

    plant.end("RlwdDiskFilling", "RlwdRecordsLost", "RlwdDaemonDown", meanwhile=started_again)
    assert "lost at the gateway" in plant.steps.check("RlwdRecordsLost")
    plant.steps.type("rlwd audit")
