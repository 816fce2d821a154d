"""Bench of ingest: the whole of it against kafka-python's own poll loop, on the same records.

A real broker holds generations of 1.5 kB with 40 tokens, and feedback of 0.5 kB on each. Both run on
one core, in turns; the broker has the others. The kafka client is imported here too, because it is
what is measured against.
"""

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from bench_fill import filled_store
from bench_records import BEGAN, feedback_event, generation_event
from bench_scores import SCORES
from bench_table import Line
from kafka import KafkaConsumer, TopicPartition
from kafka_server import KafkaServer

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.events.event import encode_event
from rlwd.streams.events.scored import Score
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource
from rlwd.streams.open import open_store

TOPICS = ("bench.generations", "bench.feedback")
PARTITIONS = 4
POLL_RECORDS = 2000
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one pass went."""

    wall: float
    """Records a second."""
    core: float
    """Records a second of processor time, all threads of this process together."""


def bench_ingest(
    *, records: int, rounds: int, already_open: Sequence[int], say: Callable[[str], None]
) -> list[Line]:
    """Measure ingest on a broker of its own; return the lines of the table."""
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        folder = Path(place)
        say("ingest: starting Kafka")
        with KafkaServer(folder / "kafka") as server:
            server.create_topics(TOPICS, partitions=PARTITIONS)
            settings = KafkaSettings(bootstrap_servers=(server.bootstrap,))
            say(f"ingest: writing {records} records")
            sent = write_records(settings, records)
            stores = {0: folder / "open-0" / "rlwd.db"}
            stores[0].parent.mkdir()
            for count in already_open:
                say(f"ingest: a store with {count} open generations")
                stores[count] = filled_store(folder / f"open-{count}" / "rlwd.db", count, _joiner)
            with one_core():
                return _rounds(settings, sent, rounds, stores, say)


def _rounds(
    settings: KafkaSettings,
    sent: int,
    rounds: int,
    stores: dict[int, Path],
    say: Callable[[str], None],
) -> list[Line]:
    ours: dict[int, list[Pace]] = {count: [] for count in stores}
    theirs: list[Pace] = []
    scored: dict[str, list[Pace]] = {name: [] for name in SCORES}
    for number in range(rounds):
        theirs.append(poll_alone(settings, sent))
        for name, paces in scored.items():
            group, score = f"r{number}-{name}", SCORES[name]()
            paces.append(ingest_all(settings, sent, stores[0], group=group, score=score))
        for count, store in stores.items():
            ours[count].append(ingest_all(settings, sent, store, group=f"r{number}-{count}"))
        say(
            f"ingest: round {number + 1} of {rounds}: {ours[0][-1].core:,.0f} records/s of one core"
        )
    client = "kafka-python's poll loop"
    # Promised is the rate on one core. Processor time is that, whatever else the machine does and
    # however long the broker takes; the clock on the wall agrees with it where nothing else runs.
    whole = "poll, decode, check, join, score, persist; one core"
    lines = [
        _line(f"{whole}, by processor time", ours[0], theirs, client, goal=0.25),
        _line(f"{whole}, by the clock", ours[0], theirs, client, by=lambda pace: pace.wall),
    ]
    lines += [
        _line(f"the same, {name}", paces, scored["no rewards"], "no rewards worked out", goal=0.85)
        for name, paces in scored.items()
        if name != "no rewards"
    ]
    counts = [count for count in stores if count]
    for count in counts:
        what = f"the same into a store with {count:,} open generations"
        if count == counts[0]:
            lines.append(_line(what, ours[count], ours[0], "an empty store"))
        else:
            lines.append(_line(what, ours[count], ours[counts[0]], f"{counts[0]:,} open"))
    return lines


def _line(
    what: str,
    ours: list[Pace],
    theirs: list[Pace],
    against: str,
    *,
    by: Callable[[Pace], float] = lambda pace: pace.core,
    goal: float | None = None,
) -> Line:
    return Line(
        part="ingest",
        what=what,
        unit="records/s",
        against=against,
        ours=tuple(map(by, ours)),
        theirs=tuple(map(by, theirs)),
        goal=goal,
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts within the block, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def write_records(settings: KafkaSettings, records: int) -> int:
    """Write half as many generations, each with its feedback; return how many were sent."""
    sink = KafkaSink(settings)
    try:
        for number in range(records // 2):
            generation = generation_event(number)
            sink.send(TOPICS[0], generation.data.session_id, encode_event(generation))
            feedback = feedback_event(number)
            sink.send(TOPICS[1], feedback.data.session_id, encode_event(feedback))
            if number % 500 == 499:
                sink.flush(WAIT_SECONDS)
        sink.flush(WAIT_SECONDS)
    finally:
        sink.close()
    return records // 2 * 2


def poll_alone(settings: KafkaSettings, records: int) -> Pace:
    """Read all records by the client's own loop, and do nothing with them."""
    consumer = KafkaConsumer(
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        metrics_enabled=False,
        fetch_max_wait_ms=int(settings.fetch_max_wait_seconds * 1000),
        fetch_max_bytes=settings.fetch_max_bytes,
        max_partition_fetch_bytes=settings.max_partition_fetch_bytes,
        **settings.connection(),
    )
    consumer.assign([TopicPartition(t, p) for t in TOPICS for p in range(PARTITIONS)])

    def step() -> int:
        found = consumer.poll(timeout_ms=10, max_records=POLL_RECORDS)
        return sum(map(len, found.values()))

    try:
        return _pace(step, records)
    finally:
        consumer.close(autocommit=False)


def ingest_all(
    settings: KafkaSettings, records: int, store: Path, *, group: str, score: Score | None = None
) -> Pace:
    """Take all records into a copy of the store, as the daemon does."""
    with tempfile.TemporaryDirectory(dir=store.parents[1]) as place:
        copy = Path(place) / "rlwd.db"
        if store.exists():
            shutil.copy(store, copy)
            # Or the first checkpoint would pay for writing all of the copy to the disk.
            with copy.open("rb+") as file:
                os.fsync(file.fileno())
        opened = open_store(copy)
        named = msgspec.structs.replace(settings, group_id=group, group_instance_id=group)
        joiner = _joiner() if score is None else Joiner("policy", score, lambda _: 3600.0)
        ingest = Ingest(opened, joiner, partial(KafkaSource, named, TOPICS))

        def step() -> int:
            taken = ingest.step(BEGAN, 0.01, POLL_RECORDS)
            assert taken.counts.accepted == taken.counts.delivered, "the bench's records are good"
            return taken.counts.delivered

        try:
            return _pace(step, records)
        finally:
            ingest.source.close()
            opened.close()


def _joiner() -> Joiner:
    spec = reward_spec("")
    return Joiner("policy", Scorer(spec), spec.decision_seconds)


def _pace(step: Callable[[], int], records: int) -> Pace:
    """Step until all records came; the clock starts with the first step that brings some."""
    gc.collect()
    seen, deadline = 0, time.monotonic() + WAIT_SECONDS
    wall, core = time.perf_counter(), time.process_time()
    while seen < records:
        new = step()
        if not seen and not new:
            wall, core = time.perf_counter(), time.process_time()
        seen += new
        if not new and time.monotonic() > deadline:
            raise TimeoutError(f"{seen} of {records} records came in {WAIT_SECONDS:.0f} s")
    return Pace(wall=seen / (time.perf_counter() - wall), core=seen / (time.process_time() - core))
