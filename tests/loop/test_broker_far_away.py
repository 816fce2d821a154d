"""A broker behind a bad line: slow, or gone for minutes. Lag censors nobody (CONTRACTS 9).

A real broker with two doors: people's records go in by the near one, the daemon reads through a wire
that the test makes slow or cuts. Minutes go by in the time that is handed to the daemon.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from kafka_server import KafkaServer
from ledger_by_hand import SPEC, Ledger, feedback, generation
from slow_wire import SlowWire

from rlwd.daemon.control.ingest_loop import INGEST_PERIODS, IngestLoop
from rlwd.daemon.control.loop import Consumer, StatusPages
from rlwd.daemon.control.timers import Intent, Timers
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import StatusServer, Vitals
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log import kafka_end_offsets
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource
from rlwd.streams.open import open_store

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

PARTITIONS = 2
SESSION_SECONDS = 4.0
HORIZON = 100.0
LATELY_SECONDS = 4.0
"""What was heard of a broker less long ago may still count; the time handed in stands still then."""


@pytest.fixture(scope="module")
def wire() -> Iterator[SlowWire]:
    """What the daemon reads through."""
    made = SlowWire()
    yield made
    made.close()


@pytest.fixture(scope="module")
def broker(wire: SlowWire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker with a door behind the wire."""
    with KafkaServer(tmp_path_factory.mktemp("far"), detour=wire.port) as server:
        wire.to = server.detour_port
        yield server


class Reader:
    """An ingest daemon behind the wire, turned by hand, and people who write in front of it."""

    def __init__(self, folder: Path, broker: KafkaServer, wire: SlowWire) -> None:
        name = uuid.uuid4().hex[:8]
        self.topics = [f"generations-{name}", f"feedback-{name}"]
        broker.create_topics(self.topics, partitions=PARTITIONS)
        self.sink = KafkaSink(KafkaSettings(bootstrap_servers=(broker.bootstrap,)))
        joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds)
        self.ledger = Ledger(open_store(folder / "rlwd.db"), joiner)
        settings = KafkaSettings(
            bootstrap_servers=(wire.address,),
            group_id=name,
            group_instance_id=name,
            session_timeout_seconds=SESSION_SECONDS,
        )
        self.ingest = Ingest(
            self.ledger.store, self.ledger.joiner, partial(KafkaSource, settings, self.topics)
        )
        assert isinstance(self.ingest.source, KafkaSource)
        self.source = self.ingest.source
        metrics = Metrics()
        server = StatusServer(Vitals(), metrics.registry, dict, host=LOOPBACK, port=free_port())
        self.daemon = IngestLoop(
            Consumer(
                policy="policy",
                store=self.ledger.store,
                ingest=self.ingest,
                poll_seconds=0.1,
                poll_records=100,
            ),
            StatusPages(server=server, metrics=metrics),
            Timers(INGEST_PERIODS),
            stop_seconds=10.0,
            clock=time.time,
        )
        self.turns = 0

    def write(self, numbers: range, at: float, *, verdicts: bool) -> None:
        """Let people be answered, or say what they think of it, at `at`."""
        for number in numbers:
            name = f"g{number}"
            if verdicts:
                signal = Accepted() if number % 2 else Rejected()
                self.sink.send(self.topics[1], name, feedback(f"f{number}", name, signal, at))
            else:
                self.sink.send(self.topics[0], name, generation(name, at, text="x" * 300))
        self.sink.flush(30.0)

    def turn(self, now: float) -> None:
        """One turn of the daemon, its timers included."""
        self.daemon.timers.ask(Intent.CLOSE_HORIZONS)
        self.daemon.tick(now)
        self.turns += 1

    def turn_until(self, done: Callable[[], bool], now: float, seconds: float = 180.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"{self.ledger.fates()} after {self.turns} turns"
            self.turn(now)

    def turn_for(self, seconds: float, now: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.turn(now)

    def ready(self) -> int:
        """Episodes that can be trained."""
        (count,) = self.ledger.ask("SELECT COUNT(*) FROM episodes WHERE stage = 'ready'")
        return int(count)

    def delivered(self) -> int:
        """Records taken in."""
        return int(self.ledger.ask("SELECT COALESCE(SUM(delivered), 0) FROM offsets")[0])

    def problem(self) -> str | None:
        """What the daemon's pages say of the log."""
        return self.daemon.vitals.problems.get("log")

    def joins(self) -> int:
        """How often the group has been joined anew."""
        return int(self.source._membership.consumer.group_metadata().generation_id)

    def close(self) -> None:
        self.source.close()
        self.sink.close()
        self.ledger.store.close()


@pytest.fixture
def reader(tmp_path: Path, broker: KafkaServer, wire: SlowWire) -> Iterator[Reader]:
    """A reader that has joined its group and read all there was: nothing."""
    wire.bytes_per_second, wire.delay = None, 0.0
    wire.mend()
    made = Reader(tmp_path, broker, wire)
    made.turn_until(lambda: len(made.source.progress()) == 2 * PARTITIONS, 1000.0)
    yield made
    wire.bytes_per_second, wire.delay = None, 0.0
    wire.mend()
    made.close()


def test_a_slow_broker_delivers_all_once_and_nobody_is_censored_for_it(
    reader: Reader, wire: SlowWire
) -> None:
    """Long after every horizon by the clock, what was said in time trickles in and counts.

    The daemon turns on meanwhile, and stays in its group as the one it was.
    """
    count, joins = 200, reader.joins()
    wire.bytes_per_second, wire.delay = 30_000.0, 0.02
    reader.write(range(count), 1001.0, verdicts=False)
    reader.write(range(count), 1002.0, verdicts=True)
    reader.turn_for(LATELY_SECONDS, 1003.0)
    late, partly = 1000.0 + 10 * HORIZON, 0
    while reader.delivered() < 2 * count:
        reader.turn(late)
        fates = reader.ledger.fates()
        assert fates.keys() <= {"waiting"}, fates
        partly += 0 < reader.delivered() < 2 * count
    assert partly
    assert reader.joins() == joins
    assert reader.ready() == count
    assert reader.ledger.ask("SELECT SUM(duplicate), SUM(dead_lettered) FROM offsets") == (0, 0)


def test_after_minutes_without_a_broker_what_was_said_in_time_counts(
    reader: Reader, wire: SlowWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be read no horizon closes, and the problem `log` says so; afterwards only who
    said nothing is censored."""
    monkeypatch.setattr(kafka_end_offsets, "SILENT_SECONDS", LATELY_SECONDS)
    count = 20
    reader.write(range(count + 1), 1001.0, verdicts=False)
    reader.turn_until(lambda: reader.delivered() == count + 1, 1001.0)
    wire.cut()
    reader.write(range(count), 1050.0, verdicts=True)
    reader.turn_for(LATELY_SECONDS, 1050.0)
    away_until, now = time.monotonic() + SESSION_SECONDS, 1050.0
    while time.monotonic() < away_until:
        now += 30.0
        reader.turn(now)
        assert reader.ledger.fates() == {"waiting": count + 1}
    assert now > 1050.0 + 5 * HORIZON
    assert "nothing was heard of it for" in str(reader.problem())
    wire.mend()
    reader.turn_until(lambda: reader.delivered() == 2 * count + 1, now)
    assert reader.ready() == count
    reader.turn_until(lambda: reader.ledger.fates() != {"waiting": count + 1}, now)
    assert reader.ledger.fates() == {"waiting": count, "censored:no_decision": 1}
    assert reader.ledger.ask("SELECT SUM(late) FROM episodes") == (0,)
    assert reader.problem() is None
