"""The loop on real Kafka and real PostgreSQL, while the things around it come and go.

One loop serves the whole file; the embedded engine answers.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from kafka_server import KafkaServer
from loop_processes import LoopProcesses
from places_by_hand import new_schema

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.demo.crowd import Crowd
from rlwd.daemon.store import state_view
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.servers.process import NO_TLS, Server

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

POLICY = "shared"
PARTITIONS = 2


@pytest.fixture(scope="module")
def loop(
    styled_policy: Path,
    forks: ForkServer,
    kafka_server: KafkaServer,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LoopProcesses]:
    """A loop on both servers, in which one version was promoted and serves everybody."""
    folder = tmp_path_factory.mktemp("postgres-loop")
    topics = [f"{POLICY}.{name}" for name in ("generations", "feedback", "deadletter")]
    kafka_server.create_topics(topics, partitions=PARTITIONS)
    with ForkedEngine(forks, styled_policy, folder) as engine:
        loop = LoopProcesses(
            folder,
            styled_policy,
            policy=POLICY,
            engine=engine,
            kafka=kafka_server.bootstrap,
            database=new_schema(postgres_url),
            mlflow="",
        )
        with loop.settled_in():
            yield loop


def assert_it_adds_up(loop: LoopProcesses, answers: int) -> None:
    """Records and generations are all accounted for, and no batch was applied twice."""
    loop.settle(answers)
    manifests = read_manifests(loop.config.state_path / "checkpoints")
    with state_view(loop.config.state_database) as view:
        found = audit(view, POLICY, manifests, [Path(loop.config.gateway.spool)])
    assert found.problems == ()
    status = loop.status()
    assert status["generations"] == answers
    assert sum(status["fates"].values()) == answers
    assert not any("lost" in fate or "no_capture" in fate for fate in status["fates"])
    assert all(counts["duplicate"] == 0 for counts in status["records"].values())
    assert len(loop.applied()) == len(set(loop.applied()))


def test_a_version_learned_from_a_shared_database_serves(loop: LoopProcesses) -> None:
    """The loop turns on PostgreSQL as it does on SQLite, and its books close."""
    status = loop.status()
    assert loop.promoted()
    assert status["fates"]["trained"] > 0
    assert_it_adds_up(loop, status["generations"])


def partitions_of(member: Server) -> list[str]:
    port = member.command[-1]
    try:
        page = httpx.get(
            f"http://127.0.0.1:{port}/statusz", timeout=5.0, trust_env=False, verify=NO_TLS
        )
        return list(page.json()["live"].get("partitions", ()))
    except (httpx.HTTPError, ValueError, KeyError):
        return []


def test_partitions_that_move_while_a_batch_trains_change_nothing_of_it(
    loop: LoopProcesses,
) -> None:
    """A second member joins and leaves in mid-batch; the batch is applied once, as it was sealed."""
    before, known = loop.status()["generations"], set(loop.applied())
    member, held = loop.member("guest"), dict[int, str]()

    def join_and_leave(_: Crowd) -> bool:
        sealed = loop.ask("SELECT batch_id, hash FROM batches WHERE state = 'sealed'")
        live = loop.live()
        if not sealed or sealed[0][0] in known or not live.get("learner", "").startswith("step"):
            return False
        # Held in mid-step, so that the batch trains for as long as partitions take to move.
        os.kill(live["learner_pid"], signal.SIGSTOP)
        try:
            member.start()
            loop.until(lambda: len(partitions_of(member)) == PARTITIONS)
            member.stop()
            held.update(sealed)
            assert loop.ask("SELECT batch_id, hash FROM batches WHERE state = 'sealed'") == sealed
        finally:
            os.kill(live["learner_pid"], signal.SIGCONT)
        return True

    crowd = loop.crowd_until(join_and_leave)
    ((batch, seal),) = held.items()
    loop.until(lambda: batch in loop.applied())
    assert crowd.tally.failed == crowd.tally.feedback_failed == 0
    assert_it_adds_up(loop, before + len(crowd.tally.answers))
    made = read_manifests(loop.config.state_path / "checkpoints")
    assert [one.batch_hash for one in made if one.batch_id == batch] == [seal]
    assert member.process is not None
    assert member.process.returncode == 0


def test_a_database_that_is_restarted_stops_nobody(
    loop: LoopProcesses, postgres_server: Any
) -> None:
    """While it is away people get answers and the daemon waits; back, it goes on in the same life."""
    before, applied = loop.status(), len(loop.applied())
    epoch, served = before["lease"]["epoch"], [0, 0]

    def restart(crowd: Crowd) -> bool:
        if len(crowd.tally.answers) < 20:
            return False
        if not served[0]:
            postgres_server.stop()
            served[0] = len(crowd.tally.answers)
            time.sleep(3.0)
            served[1] = len(crowd.tally.answers)
            assert loop.daemon.alive, loop.daemon.tail()
            postgres_server.start()
        return len(loop.applied()) > applied

    crowd = loop.crowd_until(restart)
    assert served[1] > served[0]
    assert crowd.tally.failed == crowd.tally.feedback_failed == 0
    assert "database_away" in loop.daemon.log.read_text()
    assert_it_adds_up(loop, before["generations"] + len(crowd.tally.answers))
    assert loop.status()["lease"]["epoch"] == epoch
