"""A restored state on real Kafka: against a newer log, and against one that lost what came before it."""

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka_server import KafkaServer
from ledger_by_hand import feedback, generation

from rlwd.daemon.audit.audit import Audit, audit
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import state_store
from rlwd.daemon.wire import joiner
from rlwd.daemon.wire_log import event_source
from rlwd.streams.answers.answer_tallies import count_fates
from rlwd.streams.events.signals import Accepted
from rlwd.streams.join.ingest import Ingest, read_to_end
from rlwd.streams.log.kafka_sink import KafkaSink

pytestmark = pytest.mark.kafka

Run = Callable[..., tuple[int, str]]

CONFIG = """\
[stream]
kind = "kafka"
generations = "{name}.generations"
feedback = "{name}.feedback"
dead_letters = "{name}.deadletter"
[stream.kafka]
bootstrap_servers = ["{kafka}"]
group_id = "{name}"
session_timeout_seconds = 6.0
[learner]
model = "base"
"""


@pytest.fixture
def config(tmp_path: Path, kafka_server: KafkaServer) -> Config:
    """A config of topics of its own, with one partition each."""
    name = f"restored-{uuid.uuid4().hex[:8]}"
    topics = [f"{name}.{each}" for each in ("generations", "feedback", "deadletter")]
    kafka_server.create_topics(topics, partitions=1)
    for folder in ("live", "newer", "older"):
        (tmp_path / folder).mkdir()
        text = CONFIG.format(name=name, kafka=kafka_server.bootstrap)
        (tmp_path / folder / "rlwd.toml").write_text(text)
    return load_config(tmp_path / "live" / "rlwd.toml")


def write(config: Config, *numbers: int) -> None:
    sink = KafkaSink(config.stream.kafka)
    for number in numbers:
        sink.send(config.stream.generations, "s", generation(f"g{number}", float(number)))
        said = feedback(f"f{number}", f"g{number}", Accepted(), float(number))
        sink.send(config.stream.feedback, "s", said)
    sink.flush(30.0)
    sink.close()


def take_in(config: Config, *, stopped: int = 0) -> str | None:
    """Read the log to its end, or until so many partitions stand still; return what they say."""
    store = state_store(config)
    ingest = Ingest(store, joiner(config), partial(event_source, config))
    try:
        while (ingest.problem or "").count("accept-gap") < stopped:
            ingest.step(0.0, 0.1, 100)
        if not stopped:
            read_to_end(ingest)
        return ingest.problem
    finally:
        ingest.source.close()
        store.close()


def books(config: Config) -> tuple[Audit, int]:
    store = state_store(config)
    with store.reading() as view:
        found = audit(view, config.policy, []), sum(count_fates(view, config.policy).values())
    store.close()
    return found


def test_what_the_log_holds_since_is_read_again(tmp_path: Path, config: Config, run: Run) -> None:
    """Once each, whatever the group committed since; the books close as those that were lost did."""
    write(config, 0, 1, 2)
    assert take_in(config) is None
    assert run(tmp_path / "live", "backup", str(tmp_path / "backup"))[0] == 0
    write(config, 3, 4, 5, 6)
    assert take_in(config) is None
    newer = load_config(tmp_path / "newer" / "rlwd.toml")
    assert run(tmp_path / "newer", "restore", str(tmp_path / "backup"))[0] == 0
    assert books(newer)[1] == 3
    assert take_in(newer) is None
    found, known = books(newer)
    assert (found.closes, known, found.gaps) == (True, 7, {})
    assert sum(row.duplicate for row in found.records) == 0
    assert found.records == books(config)[0].records


def test_what_the_log_lost_since_is_named_and_counted(
    tmp_path: Path, config: Config, run: Run, kafka_server: KafkaServer
) -> None:
    """Each partition stands still with the command that goes on; the audit says what was given up."""
    write(config, 0, 1, 2)
    assert take_in(config) is None
    assert run(tmp_path / "live", "backup", str(tmp_path / "backup"))[0] == 0
    write(config, 3, 4, 5, 6)
    topics = (config.stream.generations, config.stream.feedback)
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    admin.delete_records({TopicPartition(topic, 0): 5 for topic in topics})
    admin.close()
    older = load_config(tmp_path / "older" / "rlwd.toml")
    assert run(tmp_path / "older", "restore", str(tmp_path / "backup"))[0] == 0
    problem = take_in(older, stopped=2) or ""
    for topic in topics:
        assert f"rlwd accept-gap {topic}/0 5" in problem
        assert run(tmp_path / "older", "accept-gap", f"{topic}/0", "5")[0] == 0
    assert take_in(older) is None
    found, known = books(older)
    assert (found.closes, known) == (True, 5)
    assert found.gaps == {f"{topic}/0": 2 for topic in topics}
    status, said = run(tmp_path / "older", "audit")
    assert (status, said.count("given up by an operator: 2 offsets of")) == (0, 2)
