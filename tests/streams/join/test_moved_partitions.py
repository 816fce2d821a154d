"""Two members of a group on one store: what a partition leaves behind where it was (CONTRACTS 15, 16)."""

import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from kafka_server import KafkaServer
from ledger_by_hand import SPEC, generation
from waiting import until

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.join.offsets import accept_gap
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource, create_topics
from rlwd.streams.log.ports import Partition
from rlwd.streams.open import open_store


@pytest.mark.kafka
def test_a_partition_that_stood_still_here_is_not_taken_back_where_it_goes_on(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    """A member forgets the trouble of a partition that moved, and both go on behind the accepted gaps."""
    name = uuid.uuid4().hex[:8]
    topic, settings = (
        f"events-{name}",
        KafkaSettings(
            bootstrap_servers=(kafka_server.bootstrap,),
            group_id=f"group-{name}",
            group_instance_id="one",
            session_timeout_seconds=6.0,
        ),
    )
    create_topics(settings, [topic], partitions=2)
    partitions = [Partition(topic=topic, index=index) for index in (0, 1)]
    sink = KafkaSink(settings)
    for number in range(20):
        sink.send(topic, f"s{number}", generation(f"g{number}", 1000.0))
    sink.flush(30.0)
    store = open_store(tmp_path / "rlwd.db")
    with store.transaction() as tx:
        for each in partitions:
            tx.execute(
                "INSERT INTO offsets (policy, topic, partition, next) VALUES ('policy', ?, ?, 99)",
                (each.topic, each.index),
            )

    members: list[Ingest] = []

    def join(member: str) -> None:
        joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds)
        own = msgspec.structs.replace(settings, group_instance_id=member)
        members.append(Ingest(store, joiner, partial(KafkaSource, own, [topic])))

    def turned(true: Callable[[], bool]) -> bool:
        for member in members:
            member.step(time.time(), 0.1, 100)
        return true()

    def wait(true: Callable[[], bool]) -> None:
        until(lambda: turned(true), 60.0, told=lambda: str([each.problem for each in members]))

    join("one")
    wait(lambda: (members[0].problem or "").count("outside the log") == 2)
    join("two")
    wait(lambda: all((each.problem or "").count("outside the log") == 1 for each in members))
    with store.transaction() as tx:
        for each in partitions:
            accept_gap(tx, "policy", each, 0, back=True)
    wait(lambda: sum(member.delivered for member in members) == 20)
    wait(lambda: not any(member.problem for member in members))
    for member in members:
        member.source.close()
    sink.close()
    store.close()
