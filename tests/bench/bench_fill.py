"""Bench fill: state databases in which many generations wait for feedback, made before ingest is timed."""

from collections.abc import Callable
from pathlib import Path

from bench_records import BEGAN, generation_event

from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.open import open_store
from rlwd.streams.state.transaction import Transaction

SLIM_FROM = 10_000_000
"""From so many open generations on they are rows without their content: with it 10^7 of them would
take 20 GB, and what makes ingest slower is how deep the indexes are, not what lies beside them."""
AT_ONCE = 5_000
SLIM_AT_ONCE = 500_000
PREFIX = "filled"

_ROWS = """
WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)
INSERT INTO episodes (policy, generation_id, stage, fate, due, received, day, segment, user_hash,
    salt, variant, version, topic, partition, "offset")
SELECT 'policy', printf('filled%08x.%024x', n / 4, n), 'open', 'waiting', ? + n / 100.0 + 3600.0,
    ? + n / 100.0, 20717, 'default', lower(hex(randomblob(16))), 'bench', 'champion',
    'policy@v000017-3fa9c2e1', 'filled', 0, n
FROM numbers
"""
_KEYS = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)
INSERT INTO event_keys (policy, digest)
SELECT 'policy', digest FROM (SELECT randomblob(16) AS digest FROM numbers) ORDER BY digest
"""
"""A digest is as good as random, so a random one lies where a real one would."""


def filled_store(
    path: Path,
    count: int,
    joiner: Callable[[], Joiner],
    *,
    event: Callable[[int, str], GenerationEvent] = generation_event,
) -> Path:
    """Make a state database in which so many generations are open; return its path.

    `event` makes the one that all others are like, but for their ids.
    """
    store = open_store(path)
    if count >= SLIM_FROM:
        for start in range(0, count, SLIM_AT_ONCE):
            with store.transaction() as tx:
                end = min(start + SLIM_AT_ONCE, count)
                tx.execute(_ROWS, (start, end, BEGAN, BEGAN))
        with store.transaction() as tx:
            tx.execute(_KEYS, (count,))
    else:
        by_joiner = joiner()
        for start in range(0, count, AT_ONCE):
            with store.transaction() as tx:
                _take_some(tx, by_joiner, start, min(start + AT_ONCE, count), event(start, PREFIX))
            by_joiner.committed()
    store.close()
    return path


def _take_some(
    tx: Transaction, joiner: Joiner, start: int, end: int, first: GenerationEvent
) -> None:
    """Take in generations that differ in their ids alone, as the daemon would."""
    partition = Partition(topic=PREFIX, index=0)
    written, session = encode_event(first), first.data.session_id.encode()
    name = first.data.generation_id.encode()
    joiner.ingest(
        tx,
        [
            Record(
                partition=partition,
                offset=number,
                key=None,
                value=written.replace(
                    name, b"%s%08x.%024x" % (PREFIX.encode(), number // 4, number)
                ).replace(session + b'"', b'%s%08x"' % (PREFIX.encode(), number // 4)),
            )
            for number in range(start, end)
        ],
        BEGAN,
    )
