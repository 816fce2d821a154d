"""Fuzz: mutated records through the embedded log, ingest and audit; all are accounted for.

    python -m fuzz --events 1000000 --seed 0

Nothing may be raised. In the end delivered = accepted + duplicate + dead-lettered, delivered is what
was sent, every dead letter went to its topic, and the audit closes.
"""

import argparse
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson
from mutation import (
    BEGAN,
    BENDS,
    SECONDS_APART,
    Records,
    bend_document,
    enlarge,
)

from rlwd.daemon.audit.audit import audit
from rlwd.learner.ledger import checkpoints_table, seal
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.join.dead_letters import forward_dead_letters
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.embedded_log import EmbeddedLog, EmbeddedSink, EmbeddedSource
from rlwd.streams.open import open_store
from rlwd.streams.state import lease
from rlwd.streams.state.store import Store

GENERATIONS, FEEDBACK, DEAD_LETTERS = "rlwd.generations", "rlwd.feedback", "rlwd.deadletter"
POLICY = "fuzz"
AT_ONCE = 5_000
"""Records written, and then read, together."""
LARGE_EVERY = 5_000
"""Of so many records one has 10 MB."""
KEPT_FOR_REPEATS = 200
LARGEST_RECORD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """What became of all that was sent."""

    sent: int
    """Records written to the log."""
    delivered: int
    """Records that ingest took from it."""
    accepted: int
    """Taken in; less what was dead-lettered later, since its generation never came."""
    duplicate: int
    """Known already."""
    dead_lettered: int
    """Refused, with the reason."""
    forwarded: int
    """Dead letters that the topic has."""
    scored: int
    """Episodes with a reward."""
    problems: tuple[str, ...]
    """What the audit found; empty where it closes."""
    seconds: float
    """How long it all took."""

    @property
    def closes(self) -> bool:
        """True where every record is accounted for."""
        return (
            self.sent == self.delivered == self.accepted + self.duplicate + self.dead_lettered
            and self.forwarded == self.dead_lettered
            and not self.problems
        )


def records(events: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield topic, key and bytes: four in ten valid, some sent again, the rest bent once or twice."""
    rng = random.Random(seed)
    source, earlier = Records(rng), list[tuple[str, str, bytes]]()
    for number in range(events):
        record, draw = source.draw(), rng.random()
        topic = FEEDBACK if record["type"] == "rlwd.feedback.v1" else GENERATIONS
        key = str(record["data"]["session_id"])
        if draw < 0.05 and earlier:
            yield rng.choice(earlier)
            continue
        raw = orjson.dumps(record)
        if number % LARGE_EVERY == LARGE_EVERY // 2:
            raw = enlarge(raw, rng)
        elif draw > 0.7:
            raw = bend_document(record, rng)
        elif draw > 0.45:
            raw = rng.choice(BENDS)(raw, rng)
        if draw > 0.95 and raw:
            raw = rng.choice(BENDS)(raw, rng)
        if len(raw) < 10_000:
            earlier = [*earlier[-KEPT_FOR_REPEATS:], (topic, key, raw)]
        yield topic, key, raw


def fuzz(folder: Path, events: int, seed: int) -> Fuzzed:
    """Send so many records through a fresh log and state in a folder; raises what ingest raises."""
    began, log = time.monotonic(), folder / "log.db"
    sink = EmbeddedSink(
        log,
        max_record_bytes=LARGEST_RECORD_BYTES,
        max_queued_bytes=AT_ONCE * LARGEST_RECORD_BYTES,
    )
    # What production has: a dead letter must fit where its record did not.
    letters, trimmer = EmbeddedSink(log), EmbeddedLog(log)
    store, ingest = _open(folder)
    sent = forwarded = 0
    try:
        for topic, key, raw in records(events, seed):
            sink.send(topic, key, raw)
            sent += 1
            if sent % AT_ONCE == 0 or sent == events:
                sink.flush(60.0)
                _read(ingest, BEGAN + SECONDS_APART * sent)
                forwarded += _forward(ingest, letters)
                _forget(ingest, trimmer)
        _close_all(ingest)
        forwarded += _forward(ingest, letters)
        return _count(store, sent, ingest.delivered, forwarded, time.monotonic() - began)
    finally:
        for opened in (ingest.source, sink, letters, trimmer, store):
            opened.close()


def _open(folder: Path) -> tuple[Store, Ingest]:
    tables = (*checkpoints_table.MIGRATIONS, *lease.MIGRATIONS, *seal.MIGRATIONS)
    store, spec = open_store(folder / "rlwd.db", {"daemon": tables}), reward_spec("")
    joiner = Joiner(POLICY, Scorer(spec), spec.decision_seconds)
    opens = partial(EmbeddedSource, folder / "log.db", (GENERATIONS, FEEDBACK))
    return store, Ingest(store, joiner, opens)


def _read(ingest: Ingest, now: float) -> None:
    """Take in all that is there, and close the horizons that were read past."""
    while ingest.step(now, 0.0, 2000).counts.delivered:
        pass
    while ingest.close_horizons(now):
        pass


def _close_all(ingest: Ingest) -> None:
    while True:
        with ingest.store.transaction() as tx:
            if not ingest.joiner.close_horizons(tx, 0.0, read_past=math.inf):
                return


def _forward(ingest: Ingest, letters: EmbeddedSink) -> int:
    forwarded = 0
    while count := forward_dead_letters(ingest.store, POLICY, letters, DEAD_LETTERS):
        forwarded += count
    return forwarded


def _forget(ingest: Ingest, log: EmbeddedLog) -> None:
    """Drop from the log what the store has; the disk need not hold a million records twice."""
    for partition, at in ingest.source.progress().items():
        log.trim(partition, at.position)
    for lane in log.lanes((DEAD_LETTERS,)):
        log.trim(lane.partition, lane.end)


def _count(store: Store, sent: int, delivered: int, forwarded: int, seconds: float) -> Fuzzed:
    with store.reading() as view:
        found = audit(view, POLICY, manifests=[])
        (scored,) = view.execute(
            "SELECT COUNT(*) FROM episodes WHERE policy = ? AND reward IS NOT NULL", (POLICY,)
        ).fetchone()
    return Fuzzed(
        sent=sent,
        delivered=delivered,
        accepted=sum(row.accepted for row in found.records),
        duplicate=sum(row.duplicate for row in found.records),
        dead_lettered=sum(row.dead_lettered for row in found.records),
        forwarded=forwarded,
        scored=int(scored),
        problems=found.problems,
        seconds=seconds,
    )


def main() -> int:
    """Run, say what became of the records, and fail where one is unaccounted for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rlwd-fuzz-") as folder:
        found = fuzz(Path(folder), given.events, given.seed)
    said = {name: getattr(found, name) for name in Fuzzed.__slots__}
    print(orjson.dumps({"closes": found.closes, **said}, option=orjson.OPT_INDENT_2).decode())
    return 0 if found.closes else 1


if __name__ == "__main__":
    sys.exit(main())
