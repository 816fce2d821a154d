"""Several daemons in the ingest role: one group, one database, and every record counted once.

Real processes on a real broker and a real PostgreSQL (CONTRACTS 12, 15, 16, 24).
"""

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ingest_members import Member, are_shared, write_config
from kafka_server import KafkaServer
from ledger_by_hand import feedback, generation
from places_by_hand import new_schema
from waiting import until

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.exit_status import FAULT
from rlwd.daemon.store import state_store
from rlwd.daemon.wire import build_ingest
from rlwd.daemon.wire_log import event_sink
from rlwd.ops.servers.process import free_port
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.join.offsets import load_offsets, record_counts, watermark
from rlwd.streams.log.ports import Partition
from rlwd.streams.rescore.rescorings_table import FIRST, Rescoring, put_rescoring
from rlwd.streams.state.store import Store

PARTITIONS = 4
"""Of each topic, where a test does not say otherwise."""


class Group:
    """Members that share topics and a database, and what was sent to them."""

    def __init__(self, config: Path, partitions: int) -> None:
        self.path, self.config, self.partitions = config, load_config(config), partitions
        self.store = state_store(self.config)
        self.sink = event_sink(self.config)
        self.members: list[Member] = []
        self.generations = self.feedback = self.repeats = self.junk = 0
        self.seen: dict[Partition, int] = {}

    def start(self, name: str) -> Member:
        member = self.spawn(name)
        member.wait()
        return member

    def spawn(self, name: str) -> Member:
        """Start a member and wait for nothing."""
        member = Member(self.path, name)
        self.members.append(member)
        member.spawn()
        return member

    def send(self, count: int) -> None:
        """So many answers of as many sessions, each with feedback; some twice, some broken."""
        now, stream = time.time(), self.config.stream
        for number in range(self.generations, self.generations + count):
            session, name = f"s{number}", f"s{number}.g"
            answer = generation(name, now, session_id=session)
            verdict = feedback(f"f{number}", name, Accepted() if number % 2 else Rejected(), now)
            # The key of the feedback is another, so that it meets its generation across members.
            self.sink.send(stream.feedback, f"t{number}", verdict)
            self.sink.send(stream.generations, session, answer)
            if number % 10 == 0:
                self.sink.send(stream.generations, f"again{number}", answer)
                self.sink.send(stream.feedback, f"junk{number}", b"junk")
                self.repeats, self.junk = self.repeats + 1, self.junk + 1
        self.generations += count
        self.feedback += count
        self.sink.flush(30.0)

    @property
    def sent(self) -> int:
        """Records on the log."""
        return self.generations + self.feedback + self.repeats + self.junk

    @property
    def delivered(self) -> int:
        """Records counted, while no offset may ever go back."""
        with self.store.reading() as view:
            offsets = load_offsets(view, "policy")
            counts = record_counts(view, "policy")
        for partition, after in self.seen.items():
            assert offsets[partition] >= after, f"{partition} went back"
        self.seen = offsets
        return sum(each.delivered for each in counts.values())

    def wait(self, what: str, true: Callable[[], bool], seconds: float = 120.0) -> None:
        until(true, seconds, told=lambda: f"{what}: {self.sent} sent, {self.delivered} taken")

    def shared(self) -> bool:
        """Whether all partitions are read, some by each member that lives, and none by two."""
        return are_shared(self.members, 2 * self.partitions)

    def shared_under_load(self) -> bool:
        """The same, after more was sent."""
        self.send(10)
        time.sleep(0.2)
        return self.shared()

    def close(self) -> None:
        for member in self.members:
            member.signal(signal.SIGCONT)
            member.stop(5.0)
        self.sink.close()
        self.store.close()


@pytest.fixture
def group(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str, kafka_server: KafkaServer
) -> Iterator[Group]:
    """Topics and a database of their own, and no member yet; a test may say how many partitions."""
    partitions = getattr(request, "param", PARTITIONS)
    config = write_config(tmp_path, new_schema(postgres_url), kafka_server.bootstrap)
    stream = load_config(config).stream
    topics = (stream.generations, stream.feedback, stream.dead_letters)
    kafka_server.create_topics(topics, partitions=partitions)
    made = Group(config, partitions)
    yield made
    made.close()


@pytest.mark.kafka
@pytest.mark.parametrize("group", [16], indirect=True)
def test_members_come_die_and_return_under_load_and_every_record_counts_once(group: Group) -> None:
    """Of 16 partitions a fourth member takes a share and a killed one's moves to the others, mid-stream."""
    members = [group.spawn(name) for name in ("one", "two", "three")]
    group.wait("shared by three", group.shared)
    group.send(100)
    members.append(group.spawn("four"))
    group.wait("shared by four", group.shared_under_load)
    group.send(100)
    members[1].kill()
    group.wait("taken over", group.shared_under_load)
    members[1].spawn()
    group.wait("shared by four again", group.shared_under_load)
    group.wait("read", lambda: group.delivered == group.sent)
    stop_in_order(*members)
    assert_accounted_for(group)


@pytest.mark.kafka
def test_a_paused_member_cannot_rewind_an_offset(group: Group) -> None:
    """Paused past its session and woken again, it moves nothing that the other has read."""
    one, two = group.start("one"), group.start("two")
    group.wait("shared", group.shared)
    group.send(200)
    two.signal(signal.SIGSTOP)
    group.send(100)
    group.wait("taken over", lambda: len(one.partitions) == 2 * PARTITIONS)
    # Stopped inside a transaction it keeps its rows until the server ends it, 45 s at the longest.
    group.wait("read by one", lambda: group.delivered == group.sent)
    group.send(100)
    two.signal(signal.SIGCONT)
    group.send(100)
    group.wait("read by both", lambda: group.delivered == group.sent)
    group.wait("shared at last", group.shared)
    stop_in_order(one, two)
    assert_accounted_for(group)


@pytest.mark.kafka
def test_a_member_whose_claim_is_gone_claims_its_partitions_again(group: Group) -> None:
    """A claim that a failover lost, or that a reader made which woke too late, holds no record up."""
    one = group.start("one")
    group.wait("assigned", group.shared)
    group.send(20)
    group.wait("read", lambda: group.delivered == group.sent)
    with group.store.transaction() as tx:
        tx.execute("UPDATE offsets SET owner = 'of one that is gone'")
    group.send(20)
    group.wait("read on", lambda: group.delivered == group.sent)
    stop_in_order(one)
    assert_accounted_for(group)


@pytest.mark.kafka
def test_a_member_counts_no_table_and_closes_no_horizon_by_another_spec_than_the_daemons(
    group: Group,
) -> None:
    """What all answers come to is the daemon's to tell; what is given up, by its reward spec alone."""
    one = group.start("one")
    group.send(20)
    own = {"rlwd_log_lag_records", "rlwd_feedback_total", "rlwd_watermark_timestamp_seconds"}
    group.wait("told", lambda: one.series >= own and group.delivered == group.sent)
    counted = {"rlwd_generations", "rlwd_records_total", "rlwd_late_feedback_total"}
    assert not one.series & counted, "it would have come with the others"
    with group.store.transaction() as tx:
        put_rescoring(tx, "policy", Rescoring("of the daemon", FIRST, 0, 0, 0.0, None))
    group.wait("told apart", lambda: "of the daemon" in str(one.ask("readyz")))
    group.sink.send(group.config.stream.generations, "s", generation("s.silent", time.time()))
    group.sink.flush(30.0)
    silent = "episodes WHERE generation_id = 's.silent' AND stage"
    group.wait("read", lambda: ask(group, f"SELECT COUNT(*) FROM {silent} = 'open'") == 1)
    with group.store.transaction() as tx:
        tx.execute("UPDATE episodes SET due = 1.0 WHERE generation_id = 's.silent'")
    time.sleep(2.5)  # Two of its looks at what is due.
    assert ask(group, f"SELECT COUNT(*) FROM {silent} = 'open'") == 1
    with group.store.transaction() as tx:
        tx.execute("DELETE FROM rescorings")
    group.wait("closed", lambda: ask(group, f"SELECT COUNT(*) FROM {silent} = 'closed'") == 1)
    assert one.ask("readyz")["ready"]


def ask(group: Group, sql: str) -> Any:
    """Return the first value of a query."""
    with group.store.reading() as view:
        return view.execute(sql).fetchone()[0]


def stop_in_order(*members: Any) -> None:
    for member in members:
        member.stop()
        assert member.process is not None
        assert member.process.returncode == 0, member.tail()


def assert_accounted_for(group: Group) -> None:
    assert group.delivered == group.sent
    with group.store.reading() as view:
        found = audit(view, "policy", [])
        counts = record_counts(view, "policy").values()
        rewards = view.execute(
            "SELECT reward, COUNT(*) FROM episodes WHERE stage = 'ready' GROUP BY reward"
            " ORDER BY reward"
        ).fetchall()
    assert found.problems == ()
    assert sum(each.accepted for each in counts) == group.generations + group.feedback
    assert sum(each.duplicate for each in counts) == group.repeats
    assert sum(each.dead_lettered for each in counts) == group.junk
    assert rewards == [(0.0, group.generations // 2), (1.0, group.generations // 2)]


@pytest.mark.kafka
def test_what_nobody_reads_holds_the_watermark(group: Group) -> None:
    """Before any partition is read all of them are known, so that no horizon closes early.

    Named by nobody, it has the config's name, the host's and its port: hosts may share the file.
    """
    port = free_port()
    built = build_ingest(named(group.config, "rlwd-0"), port=port)
    ingest = built.ingest
    source: Any = ingest.source
    told = source._consumer.config["group_instance_id"]
    assert told == re.sub(r"[^\w.-]", "-", f"rlwd-0-{socket.gethostname()}-ingest-{port}")
    try:
        ingest.step(time.time(), 0.0, 100)
        with group.store.reading() as view:
            known = view.execute("SELECT COUNT(*), MAX(next) FROM offsets").fetchone()
            assert (known, watermark(view, "policy")) == ((2 * PARTITIONS, -1), 0.0)
        group.wait("read past", lambda: mark_after(built.ingest, group.store) > 0.0)
        assert {(at.position, at.end) for at in ingest.source.progress().values()} == {(0, 0)}
    finally:
        ingest.source.close()
        ingest.store.close()


def named(config: Config, name: str) -> Config:
    kafka = msgspec.structs.replace(config.stream.kafka, group_instance_id=name)
    return msgspec.structs.replace(
        config, stream=msgspec.structs.replace(config.stream, kafka=kafka)
    )


@pytest.mark.kafka
def test_of_two_members_with_one_name_the_newer_one_stays(group: Group) -> None:
    """The older one ends with the status with which its unit stays down, and says the name; no record is lost."""
    older = group.start("two")
    newer = group.start("two")
    until(lambda: not older.alive, told=newer.tail)
    assert older.process is not None
    assert older.process.returncode == FAULT
    assert "another process has joined as two," in older.tail()
    group.send(20)
    group.wait("taken in by the newer", lambda: group.delivered == group.sent)
    assert newer.alive


@pytest.mark.kafka
def test_a_member_that_is_started_again_at_once_goes_on(group: Group) -> None:
    """Stopped or killed, and back before the broker has missed it: its name is its own, and it fences nobody."""
    (member,) = (group.start("one"),)
    for how in (member.stop, member.kill):
        group.send(10)
        how()
        member.spawn()
        group.wait("taken in", lambda: group.delivered == group.sent)
        group.send(10)
        group.wait("and goes on", lambda: group.delivered == group.sent)
        assert member.alive
    assert "another process" not in member.tail()


def mark_after(ingest: Any, store: Store) -> float:
    ingest.step(time.time(), 0.1, 100)
    with store.reading() as view:
        return watermark(view, "policy")


def test_without_a_server_or_a_broker_the_role_is_refused(tmp_path: Path) -> None:
    """The ingest role says which key is missing for it, and leaves no state behind."""

    def config(**more: str) -> Config:
        keys = "".join(f'{key} = "{value}"\n' for key, value in more.items())
        path = tmp_path / "rlwd.toml"
        path.write_text(f'{keys}[learner]\nmodel = "base"\n')
        return load_config(path)

    with pytest.raises(ValueError, match=r"database: the ingest role needs a server"):
        build_ingest(config())
    with pytest.raises(ValueError, match=r"stream\.kind: .* needs kafka"):
        build_ingest(config(database="postgresql://127.0.0.1:1/none"))
    assert [path.name for path in tmp_path.iterdir()] == ["rlwd.toml"]


@pytest.mark.parametrize(
    ("member", "configured", "told"),
    [
        ("two/a", "", "--member: 'two/a'"),
        ("zwölf", "", "--member: 'zwölf'"),
        ("m" * 250, "", "--member: "),
        ("", "g" * 249, "group_instance_id, with host and port: "),
    ],
)
def test_a_name_that_brokers_refuse_is_said_and_never_put_right(
    member: str, configured: str, told: str, tmp_path: Path
) -> None:
    """`two/a` and `two-a` made one name: each of two members fenced the other."""
    path = tmp_path / "rlwd.toml"
    path.write_text(
        'database = "postgresql://127.0.0.1:1/none"\n[learner]\nmodel = "base"\n'
        f'[stream]\nkind = "kafka"\n[stream.kafka]\ngroup_instance_id = "{configured}"\n'
    )
    with pytest.raises(ValueError, match=f"{told}.*: letters, digits, . _ and -, 1 to 249"):
        build_ingest(load_config(path), member=member, port=8091)
