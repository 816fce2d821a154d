"""Join: records become episodes, within per-signal horizons, in the poll's own transaction.

A poll's events and the offsets that carried them are taken in together or not at all; from there
on, what an episode is worth and when it is ready is asked of the reward spec, and a horizon closes
only when every partition has been read past it (CONTRACTS 9 to 13).
"""

import os
import secrets
import socket
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..events.event import Event, GenerationEvent, MalformedEvent, decode_event
from ..log.claim_check import DataMissing, resolve
from ..log.ports import Partition, Record
from ..state.transaction import Transaction, row_lock
from . import (
    contents,
    dead_letters,
    dedup,
    episodes_table,
    erasure,
    fate,
    offsets,
)
from .dead_letters import DeadLetter
from .intake import Arrival, NewArrivals, take
from .offsets import Counts, PollCounts
from .scoring import Horizon, Score, Scoring

MIGRATIONS = (
    offsets.OFFSETS + ";" + dead_letters.DEAD_LETTERS + ";" + episodes_table.EPISODES,
    offsets.OWNERS,
    offsets.GAPS,
    contents.CONTENTS + ";" + episodes_table.INDEXES + ";" + dedup.NEW_KEYS,
    erasure.ERASED,
)

CLOSE_AT_ONCE = 10_000
"""Most horizons closed in one transaction, so that a backlog never holds the database."""


@dataclass(slots=True, kw_only=True)
class Ingested:
    """What one poll brought."""

    counts: Counts = field(default_factory=Counts)
    """Records by what became of them."""
    generations: int = 0
    """New generations."""
    feedback: int = 0
    """New feedback."""
    late: int = 0
    """Feedback that came after its episode was sealed or closed."""


class Joiner:
    """Joins one policy's generations with their feedback.

    Several may work on one database, each on the partitions that it claimed last. Rows are locked
    in one order everywhere: event keys, episodes by id, offsets by partition.
    """

    def __init__(
        self, policy: str, score: Score, horizon: Horizon, *, data: Path | None = None
    ) -> None:
        self.policy, self.horizon, self.data = policy, horizon, data
        self._scoring = Scoring(policy, score, horizon)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._keys = dedup.EventKeys(policy)
        self._positions: dict[Partition, int] = {}
        self._moved: dict[Partition, int] = {}

    def resume(self, tx: Transaction, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Claim partitions that were assigned here; return where to go on with them."""
        self._keys.load(tx)
        return self._start_at(
            partitions, offsets.claim_partitions(tx, self.policy, partitions, self.owner)
        )

    def look_up(self, tx: Transaction, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return where the store stands, without claiming what may be another's now."""
        return self._start_at(partitions, offsets.load_offsets(tx, self.policy))

    def _start_at(
        self, partitions: Sequence[Partition], known: Mapping[Partition, int]
    ) -> dict[Partition, int]:
        for partition in partitions:
            self._positions.pop(partition, None)
        starts = {p: known[p] for p in partitions if p in known}
        self._positions.update(starts)
        return starts

    def ingest(self, tx: Transaction, records: Sequence[Record], now: float) -> Ingested:
        """Take in one poll's records and move the offsets that carried them.

        Raises StaleOffset, and the transaction leaves no trace, where another process moved one.
        """
        result, arrivals, tallies = Ingested(), list[Arrival](), dict[Partition, PollCounts]()
        erased = erasure.known_to_poll(tx, self.policy)
        for partition, batch in _by_partition(records).items():
            tally = tallies[partition] = PollCounts(
                start=self._positions.get(partition, batch[0].offset),
                end=batch[-1].offset + 1,
                delivered=len(batch),
            )
            arrivals += self._decode(tx, batch, tally, now)
        if erased:
            arrivals = [_disguised(arrival, erased) for arrival in arrivals]
        taken = take(tx, self.policy, arrivals, self._keys)
        new = {id(arrival) for arrival in taken.new}
        for arrival in arrivals:
            if id(arrival) in new:
                arrival.counts.accepted += 1
            else:
                arrival.counts.duplicate += 1
        result.generations = len(taken.generations)
        result.feedback = sum(map(len, taken.feedback.values()))
        result.late = self.settle(tx, taken, now)
        if erased:
            touched = [*taken.feedback, *taken.generations]
            erasure.forget_feedback_on(tx, self.policy, touched, erased)
        for partition in sorted(tallies):
            offsets.advance_offset(tx, self.policy, partition, tallies[partition], self.owner)
            result.counts.add(tallies[partition].counts)
        self._moved = {partition: tally.end for partition, tally in tallies.items()}
        return result

    def committed(self) -> dict[Partition, int]:
        """Remember that the last ingest's transaction committed; return the offsets it moved."""
        self._positions.update(self._moved)
        self._keys.committed()
        return self._moved

    def settle(self, tx: Transaction, taken: NewArrivals, now: float) -> int:
        """Look at what all is worth that a poll touched; return how many it came too late for."""
        movable: list[str] = []
        late: list[str] = []
        # Without feedback nothing can be known of it, and nothing can have come too late.
        for name in taken.feedback:
            row = taken.known.get(name)
            if row is None or row.stage == "orphan" or name in taken.generations:
                continue
            final = row.stage == "closed" and not row.fate.startswith("excluded:")
            if row.batch_id is not None or final:
                late.append(name)
            elif row.content is not None:
                movable.append(name)
        met = [name for name in taken.generations if name in taken.known]
        feedback = episodes_table.feedback_of(tx, self.policy, met + movable)
        self._scoring.write_new(tx, taken, feedback, now)
        self._scoring.write(
            tx, episodes_table.load_episodes(tx, self.policy, movable, feedback), now
        )
        episodes_table.count_late(tx, self.policy, late)
        return len(late)

    def close_horizons(self, tx: Transaction, now: float, *, read_past: float | None = None) -> int:
        """Give up what waited past its horizon, and make ready what waited for it; return how many.

        `read_past` replaces the store's watermark: a replay has read everything there will ever be.
        """
        mark = offsets.watermark(tx, self.policy) if read_past is None else read_past
        rows = tx.execute(
            "SELECT generation_id, stage FROM episodes WHERE policy = ?"
            " AND stage IN ('open', 'scored', 'orphan') AND due < ? ORDER BY due LIMIT ?"
            + row_lock(tx, skip=True),
            (self.policy, mark, CLOSE_AT_ONCE),
        ).fetchall()
        by_stage = defaultdict[str, list[str]](list)
        for generation_id, stage in rows:
            by_stage[stage].append(generation_id)
        episodes_table.close(tx, self.policy, by_stage["open"], fate.NO_DECISION)
        episodes_table.close(tx, self.policy, by_stage["orphan"], fate.DEAD_LETTERED)
        buried = Counter[Partition]()
        for generation_id in by_stage["orphan"]:
            buried.update(dead_letters.bury_orphan(tx, self.policy, generation_id, now))
        waited = episodes_table.load_episodes(tx, self.policy, by_stage["scored"])
        self._scoring.write(tx, waited, now, due=True)
        for partition in sorted(buried):
            offsets.count_buried(tx, self.policy, partition, buried[partition])
        return len(rows)

    def _decode(
        self, tx: Transaction, batch: Sequence[Record], tally: PollCounts, now: float
    ) -> list[Arrival]:
        arrivals: list[Arrival] = []
        wait = self.horizon("default")
        for record in batch:
            try:
                event, record = self._read(record)
            except MalformedEvent as problem:
                self._refuse(tx, record, problem, tally, now)
                continue
            received = event.receivedtime.timestamp()
            due, ends = received + wait, fate.WAITING
            if isinstance(event, GenerationEvent):
                due = received + self.horizon(event.data.segment)
                ends = fate.exclusion_at_ingest(event.data) or fate.WAITING
            arrivals.append(Arrival(event, record, received, due, ends, tally.counts))
        # Nothing was received after it was read: one wrong year must not close every horizon.
        tally.newest = min(max((arrival.received for arrival in arrivals), default=0.0), now)
        return arrivals

    def _read(self, record: Record) -> tuple[Event, Record]:
        """Return what a record says, and the record that says it: a file's, where it is elsewhere."""
        value = resolve(record.value, self.data)
        if value is not record.value:
            record = msgspec.structs.replace(record, value=value)
        return decode_event(value), record

    def _refuse(
        self,
        tx: Transaction,
        record: Record,
        problem: MalformedEvent,
        tally: PollCounts,
        now: float,
    ) -> None:
        if isinstance(problem, DataMissing) and self._keys.known(
            tx, dedup.key_of(problem.source, problem.id)
        ):
            # It was read while its file was there; read again, it moves nothing.
            tally.counts.duplicate += 1
            return
        letter = DeadLetter(
            partition=record.partition,
            offset=record.offset,
            reason=str(problem),
            value=record.value,
        )
        if dead_letters.bury(tx, self.policy, letter, now):
            tally.counts.dead_lettered += 1
        else:
            tally.counts.duplicate += 1


def _disguised(arrival: Arrival, erased: Mapping[str, str]) -> Arrival:
    """Return a record of an erased person without the person; any other as it is."""
    event = arrival.event
    if not isinstance(event, GenerationEvent) or event.data.user_hash not in erased:
        return arrival
    data = msgspec.structs.replace(event.data, user_hash=erased[event.data.user_hash])
    return arrival._replace(event=msgspec.structs.replace(event, data=data), fate=fate.ERASED)


def _by_partition(records: Sequence[Record]) -> dict[Partition, list[Record]]:
    """Group records by where they stood; they mostly come in runs of one partition."""
    found: dict[Partition, list[Record]] = {}
    last: Partition | None = None
    for record in records:
        if record.partition is not last:
            last = record.partition
            batch = found.setdefault(last, [])
        batch.append(record)
    return found
