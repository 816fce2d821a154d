"""Join: records become episodes, within per-signal horizons, in the poll's own transaction.

A poll's events and the offsets that carried them are taken in together or not at all; from there
on, what an episode is worth and when it is ready is asked of the reward spec, and a horizon closes
only when every partition has been read past it (CONTRACTS 9 to 13).
"""

import os
import secrets
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import deadletter, episodes, fate, offsets
from .deadletter import DeadLetter
from .episode import Episode
from .episodes import Scored
from .event import Event, GenerationEvent, MalformedEvent, decode_event
from .intake import Arrival, take
from .offsets import Counts, Tally
from .source import Partition, Record
from .transaction import Transaction, row_lock

MIGRATIONS = (
    offsets.OFFSETS + ";" + deadletter.DEAD_LETTERS + ";" + episodes.EPISODES,
    offsets.OWNERS,
    offsets.GAPS,
)

Score = Callable[[Episode], Scored | None]
"""What an episode is worth, or None while nothing decisive is known."""
Horizon = Callable[[str], float]
"""Seconds until an episode of a segment is given up without a decision."""

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

    def __init__(self, policy: str, score: Score, horizon: Horizon) -> None:
        self.policy, self.score, self.horizon = policy, score, horizon
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._positions: dict[Partition, int] = {}
        self._moved: dict[Partition, int] = {}

    def resume(self, tx: Transaction, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Claim partitions that were assigned here; return where to go on with them."""
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
        result, arrivals, tallies = Ingested(), list[Arrival](), dict[Partition, Tally]()
        for partition, batch in _by_partition(records).items():
            tally = tallies[partition] = Tally(
                start=self._positions.get(partition, batch[0].offset),
                end=batch[-1].offset + 1,
                delivered=len(batch),
            )
            arrivals += self._decode(tx, batch, tally, now)
        touched = self._take_all(tx, arrivals, tallies, result)
        result.late = self.settle(tx, touched, now)
        for partition in sorted(tallies):
            offsets.advance_offset(tx, self.policy, partition, tallies[partition], self.owner)
            result.counts.add(tallies[partition].counts)
        self._moved = {partition: tally.end for partition, tally in tallies.items()}
        return result

    def committed(self) -> dict[Partition, int]:
        """Remember that the last ingest's transaction committed; return the offsets it moved."""
        self._positions.update(self._moved)
        return self._moved

    def settle(self, tx: Transaction, ids: Sequence[str], now: float) -> int:
        """Look again at what these episodes are worth; return how many it came too late for."""
        feedback = episodes.feedback_of(tx, self.policy, ids)
        movable: list[str] = []
        late: list[str] = []
        # Without feedback nothing can be known of it, and nothing can have come too late.
        for name, stage, batch_id, ends in episodes.stages(tx, self.policy, list(feedback)):
            if stage == "orphan":
                continue
            final = stage == "closed" and not ends.startswith("excluded:")
            (late if batch_id is not None or final else movable).append(name)
        self._score(tx, episodes.load_episodes(tx, self.policy, movable, feedback), now)
        episodes.count_late(tx, self.policy, late)
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
        episodes.close(tx, self.policy, by_stage["open"], fate.NO_DECISION)
        episodes.close(tx, self.policy, by_stage["orphan"], fate.DEAD_LETTERED)
        buried = Counter[Partition]()
        for generation_id in by_stage["orphan"]:
            buried.update(deadletter.bury_orphan(tx, self.policy, generation_id, now))
        waited = episodes.load_episodes(tx, self.policy, by_stage["scored"])
        self._score(tx, waited, now, due=True)
        for partition in sorted(buried):
            offsets.count_buried(tx, self.policy, partition, buried[partition])
        return len(rows)

    def _decode(
        self, tx: Transaction, batch: Sequence[Record], tally: Tally, now: float
    ) -> list[Arrival]:
        arrivals: list[Arrival] = []
        for record in batch:
            try:
                event = decode_event(record.value)
            except MalformedEvent as problem:
                if self._bury(tx, record, str(problem), now):
                    tally.counts.dead_lettered += 1
                else:
                    tally.counts.duplicate += 1
                continue
            arrivals.append(self._arrival(event, record))
        # Nothing was received after it was read: one wrong year must not close every horizon.
        tally.newest = min(max((arrival.received for arrival in arrivals), default=0.0), now)
        return arrivals

    def _take_all(
        self,
        tx: Transaction,
        arrivals: Sequence[Arrival],
        tallies: Mapping[Partition, Tally],
        result: Ingested,
    ) -> list[str]:
        touched: dict[str, None] = {}
        for arrival, new in zip(arrivals, take(tx, self.policy, arrivals), strict=True):
            counts = tallies[arrival.record.partition].counts
            if not new:
                counts.duplicate += 1
                continue
            counts.accepted += 1
            touched[arrival.event.data.generation_id] = None
            if isinstance(arrival.event, GenerationEvent):
                result.generations += 1
            else:
                result.feedback += 1
        return list(touched)

    def _arrival(self, event: Event, record: Record) -> Arrival:
        received = event.receivedtime.timestamp()
        if isinstance(event, GenerationEvent):
            due = received + self.horizon(event.data.segment)
            ends = fate.exclusion_at_ingest(event.data) or fate.WAITING
            return Arrival(event, record, received, due, ends)
        return Arrival(event, record, received, received + self.horizon("default"), fate.WAITING)

    def _bury(self, tx: Transaction, record: Record, reason: str, now: float) -> bool:
        letter = DeadLetter(
            partition=record.partition, offset=record.offset, reason=reason, value=record.value
        )
        return deadletter.bury(tx, self.policy, letter, now)

    def _score(
        self, tx: Transaction, found: Sequence[Episode], now: float, *, due: bool = False
    ) -> None:
        scores: list[tuple[Episode, Scored, str, str]] = []
        undecided: list[Episode] = []
        for episode in found:
            scored = self.score(episode)
            if scored is None:
                undecided.append(episode)
                continue
            excluded = fate.exclusion_from_training(episode.generation)
            if excluded is not None:
                scores.append((episode, scored, "closed", excluded))
            else:
                stage = "ready" if due or not scored.ready_at else "scored"
                scores.append((episode, scored, stage, fate.WAITING))
        episodes.put_scores(tx, self.policy, scores, now)
        # What was decisive has been taken back: it waits again, and its horizon closes it.
        self._reopen(tx, undecided)

    def _reopen(self, tx: Transaction, undecided: Sequence[Episode]) -> None:
        tx.executemany(
            "UPDATE episodes SET stage = 'open', fate = ?, reward = NULL, parts = NULL, due = ?"
            " WHERE policy = ? AND generation_id = ? AND reward IS NOT NULL AND batch_id IS NULL",
            [
                (
                    fate.WAITING,
                    episode.received_at + self.horizon(episode.generation.segment),
                    self.policy,
                    episode.id,
                )
                for episode in undecided
            ],
        )


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
